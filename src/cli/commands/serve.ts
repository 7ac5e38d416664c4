import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { CommandFailure } from '../command-failure.ts';
import type { CommandContext } from '../command-context.ts';
import { exitCodes } from '../exit-codes.ts';

/** What `darkroom serve` may be told; all else is said by the settings. */
export interface ServeOptions {
  readonly host?: string;
  readonly port?: string;
  readonly dataDir?: string;
}

/** As `npm start` has them. */
interface StartScript {
  readonly scripts: { readonly start: string };
}

/**
 * Becomes the service: this process is replaced by it, so that signals, the exit code and the terminal are its own.
 *
 * @throws CommandFailure where the service is not there, as in an installed package
 */
export async function serve(
  { environment }: CommandContext,
  options: ServeOptions,
): Promise<never> {
  const root = checkoutOf(import.meta.url);
  if (root === undefined) {
    throw new CommandFailure(
      exitCodes.failed,
      'this package has the command line and the client library in it; the service runs from a checkout of Darkroom, by npm ci && npm start',
    );
  }
  const { scripts } = createRequire(root)('./package.json') as StartScript;
  const flags = scripts.start.split(' ').filter((word) => word.startsWith('--'));
  const { host, port, dataDir } = options;
  const env = {
    ...environment,
    ...(host === undefined ? {} : { DARKROOM_HOST: host }),
    ...(port === undefined ? {} : { DARKROOM_PORT: port }),
    ...(dataDir === undefined ? {} : { DARKROOM_DATA_DIR: dataDir }),
  };
  const args = [...flags, fileURLToPath(new URL('src/main.mjs', root))];
  if (typeof process.execve === 'function' && process.platform !== 'win32') {
    process.execve(process.execPath, [process.execPath, ...args], env);
  }
  // Windows has no such thing: it is waited for.
  const child = spawn(process.execPath, args, { stdio: 'inherit', env });
  const [code] = (await once(child, 'exit')) as [number | null];
  process.exit(code ?? exitCodes.failed);
}

/** The checkout above a module of it, its sources or what was built of them. */
function checkoutOf(module: string): URL | undefined {
  for (const up of ['../../', '../../../']) {
    const root = new URL(up, module);
    if (
      existsSync(new URL('src/main.mjs', root)) &&
      existsSync(new URL('src/service-process.ts', root))
    ) {
      return root;
    }
  }
  return undefined;
}
