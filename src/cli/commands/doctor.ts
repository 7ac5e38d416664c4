import type { CommandContext } from '../command-context.ts';
import { exitCodes, type ExitCode } from '../exit-codes.ts';
import type { Finding } from '../doctor/finding.ts';
import { lookAtService } from '../doctor/look-at-service.ts';
import { shownText } from '../output/shown-text.ts';
import type { ConnectionOptions } from '../profiles/connection.ts';

/** What `darkroom doctor` may be told. */
export interface DoctorOptions extends ConnectionOptions {
  readonly json?: boolean;
}

/** Looks at all that a service on this machine needs, and at the one that commands call. Changes nothing. */
export async function doctor(context: CommandContext, options: DoctorOptions): Promise<ExitCode> {
  const { environment, out } = context;
  const service = await lookAtService(context, options);
  const findings = [...service.findings];
  // What another machine has is not seen from here.
  if (service.isHere) {
    const { lookAtConfiguration } = await import('../doctor/look-at-configuration.ts');
    const configuration = await lookAtConfiguration(environment);
    findings.push(...configuration.findings);
    const { settings } = configuration;
    if (settings !== undefined) {
      const [{ lookAtDatabase }, { lookAtStorage }, { lookAtPort }] = await Promise.all([
        import('../doctor/look-at-database.ts'),
        import('../doctor/look-at-storage.ts'),
        import('../doctor/look-at-port.ts'),
      ]);
      findings.push(...(await lookAtDatabase(settings)));
      findings.push(...(await lookAtStorage(settings)));
      findings.push(...(await lookAtPort(settings, service.isServed)));
    }
  }
  if (options.json === true) {
    out.line(JSON.stringify(findings, undefined, 2));
  } else {
    findings.flatMap((finding) => linesOf(finding, context)).forEach((line) => out.line(line));
  }
  return findings.some(({ standing }) => standing === 'broken') ? exitCodes.failed : exitCodes.done;
}

function linesOf(
  { what, standing, found, remedy }: Finding,
  { out: { style } }: CommandContext,
): string[] {
  const sign = {
    well: style.good('ok     '),
    doubtful: style.warn('mind   '),
    broken: style.bad('broken '),
  }[standing];
  const line = `${sign} ${what.padEnd(11)} ${shownText(found)}`;
  return remedy === undefined ? [line] : [line, `${' '.repeat(20)}${remedy}`];
}
