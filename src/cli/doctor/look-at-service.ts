import { isLoopback } from '../../domain/loopback.ts';
import { CommandFailure } from '../command-failure.ts';
import type { CommandContext } from '../command-context.ts';
import { withClient } from '../connection.ts';
import { durationText } from '../output/amounts.ts';
import { connectionOf, type ConnectionOptions } from '../profiles/connection.ts';
import { broken, doubtful, well, type Finding } from './finding.ts';

const skewMs = 30_000;

/** What is said of the service that commands call. */
export interface ServiceFindings {
  readonly endpoint: string;
  readonly isHere: boolean;
  readonly isServed: boolean;
  readonly findings: readonly Finding[];
}

/** Whether the service answers, and takes the caller for somebody who may read. */
export async function lookAtService(
  context: CommandContext,
  options: ConnectionOptions,
): Promise<ServiceFindings> {
  const { endpoint, warnings } = connectionOf(options, context.environment);
  const isHere = isLoopback(new URL(endpoint).hostname.replaceAll(/[[\]]/g, ''));
  const quiet = { ...context, notes: { ...context.notes, line: () => undefined } };
  const findings: Finding[] = warnings.map((warning) =>
    doubtful('token', warning, 'See docs/security.md.'),
  );
  const began = performance.now();
  let isServed = true;
  try {
    const serverDate = await withClient(quiet, options, async (client) => {
      let date: string | null = null;
      await client.images.listImages(
        { pageSize: 1 },
        { signal: context.signal, onHeader: (headers) => (date = headers.get('date')) },
      );
      return date === null ? undefined : new Date(date);
    });
    findings.push(
      well(
        'service',
        `${endpoint} answers in ${durationText(performance.now() - began)}, and takes you for somebody`,
      ),
    );
    const apart = serverDate === undefined ? 0 : Math.abs(serverDate.getTime() - Date.now());
    if (apart > skewMs) {
      findings.push(
        doubtful(
          'clock',
          `the service's is ${durationText(apart)} apart`,
          'Tokens and expiry go by the clock: set both machines by NTP.',
        ),
      );
    }
  } catch (error) {
    if (!(error instanceof CommandFailure)) {
      throw error;
    }
    const [found = '', ...remedies] = error.message.split('\n');
    isServed = error.exitCode !== 6;
    findings.push(
      broken(
        'service',
        found,
        remedies.filter((line) => !line.includes('darkroom doctor')).join(' ') ||
          (isHere
            ? 'Start it: darkroom serve, or npm start.'
            : 'Look whether it runs there, and whether a firewall is between.'),
      ),
    );
  }
  return { endpoint, isHere, isServed, findings };
}
