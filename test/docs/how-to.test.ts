import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { hasProgram } from '../support/disk-images.ts';
import { findFreePort } from '../support/free-port.ts';
import { codeBlocks, sectionOf } from '../support/readme.ts';
import { startService } from '../support/running-service.ts';
import { repository } from '../support/service-process.ts';
import { ShellWorld } from '../support/shell-world.ts';

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
    const port = await findFreePort();
    await using world = await ShellWorld.make();
    const here = (commands: string): string =>
      commands
        .replaceAll('/etc/darkroom', world.folder)
        .replaceAll('https://localhost:8080', `https://localhost:${port}`);
    const play = (heading: string): Promise<string> =>
      world.play(here(commandsOf(page, heading)), {
        DARKROOM_TOKENS_FILE: `${world.folder}/tokens.json`,
      });

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
    const audit = await readFile(join(world.folder, 'audit.log'), 'utf8');
    expect(audit).toContain('CREDENTIAL_MISSING');
    // The page says that the file holds no token.
    const token = (await readFile(join(world.folder, 'ann.token'), 'utf8')).trim();
    expect(await readFile(join(world.folder, 'tokens.json'), 'utf8')).not.toContain(token);
  },
);
