import { createServer } from 'node:net';
import type { Settings } from '../../config/settings.ts';
import { broken, well, type Finding } from './finding.ts';

/** Whether a service that is started here can have its port. @param isServed whether Darkroom answers on it already */
export async function lookAtPort(
  { host, port }: Settings,
  isServed: boolean,
): Promise<readonly Finding[]> {
  const place = `${host}:${port}`;
  if (port === 0) {
    return [well('port', 'any free one')];
  }
  const problem = await problemOfListening(host, port);
  if (problem === undefined) {
    return [well('port', `${place} is free`)];
  }
  if (problem.code === 'EADDRINUSE') {
    return isServed
      ? [well('port', `${place} is Darkroom's, which runs`)]
      : [
          broken(
            'port',
            `${place} is taken by another program`,
            `Stop it (ss -ltnp | grep ${port} tells which), or take another one by DARKROOM_PORT.`,
          ),
        ];
  }
  return [
    broken(
      'port',
      `${place}: ${problem.message}`,
      'Set DARKROOM_HOST to an address of this machine, and DARKROOM_PORT to a port that its user may open.',
    ),
  ];
}

function problemOfListening(
  host: string,
  port: number,
): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}
