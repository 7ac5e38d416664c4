import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { hasProgram } from '../support/disk-images.ts';
import { findFreePort } from '../support/free-port.ts';
import { runProgram } from '../support/programs.ts';
import { codeBlocks, sectionOf } from '../support/readme.ts';
import { startService } from '../support/running-service.ts';
import { makeDataDir, repository } from '../support/service-process.ts';

const canRun = hasProgram('openssl', 'openssl') && hasProgram('curl', 'curl');

/** The commands below a heading, as one script. */
function commandsOf(page: string, heading: string): string {
  const blocks = codeBlocks(sectionOf(page, heading)).filter(({ language }) => language === 'sh');
  expect(blocks.length, heading).toBeGreaterThan(0);
  return blocks.map(({ code }) => code).join('\n');
}

test.skipIf(!canRun)(
  'behind TLS and tokens: the commands of the page do what it says, in their order',
  async () => {
    const page = await readFile(join(repository, 'docs/how-to/tls-and-tokens.md'), 'utf8');
    await using folder = await makeDataDir();
    const port = await findFreePort();
    const bin = join(folder.path, 'bin');
    await mkdir(bin);
    // As in a checkout in which `npm ci` was run, from whatever folder.
    await writeFile(
      join(bin, 'npx'),
      `#!/bin/sh\n[ "$1" = darkroom ] || exit 64\nshift\nexec '${process.execPath}' '${repository}/src/cli/darkroom.mjs' "$@"\n`,
    );
    await chmod(join(bin, 'npx'), 0o755);
    const here = (commands: string): string =>
      commands
        .replaceAll('/etc/darkroom', folder.path)
        .replaceAll('https://localhost:8080', `https://localhost:${port}`);
    const play = async (heading: string): Promise<string> => {
      const script = `set -eu; cd '${folder.path}'; export PATH='${bin}':"$PATH" XDG_CONFIG_HOME='${folder.path}' DARKROOM_TOKENS_FILE='${folder.path}/tokens.json'\n${here(commandsOf(page, heading))}`;
      const { code, output, errors } = await runProgram('bash', ['-c', script]);
      expect(code, `${script}\n${output}\n${errors}`).toBe(0);
      return output;
    };

    await play('A certificate');
    await play('Tokens');
    const settings = [
      ...here(commandsOf(page, 'Start')).matchAll(/^(DARKROOM_\w+)=(\S+) \\$/gm),
    ].map(([, name, value]): [string, string] => [name!, value!]);
    expect(settings.length).toBeGreaterThan(5);
    const env = Object.fromEntries(settings.filter(([name]) => name !== 'DARKROOM_DATA_DIR'));
    await startService({ ...env, DARKROOM_PORT: String(port) });
    const told = await play('Call it');
    expect(told).toMatch(/\bann\b/);
    expect(told).toMatch(/\bnova\b/);
    const audit = await readFile(join(folder.path, 'audit.log'), 'utf8');
    expect(audit).toContain('CREDENTIAL_MISSING');
    // The page says that the file holds no token.
    const token = (await readFile(join(folder.path, 'ann.token'), 'utf8')).trim();
    expect(await readFile(join(folder.path, 'tokens.json'), 'utf8')).not.toContain(token);
  },
);
