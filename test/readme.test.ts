import { createHash } from 'node:crypto';
import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { CleanUps } from './support/clean-ups.ts';
import { runProgram } from './support/programs.ts';
import { codeBlocks, readReadme, sectionOf } from './support/readme.ts';
import { downloadBytes, startService, type RunningService } from './support/running-service.ts';
import { makeDataDir, repository } from './support/service-process.ts';

/** Where the README says that the service listens. */
const address = 'http://127.0.0.1:8080';

let service: RunningService;
let readme: string;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  readme = await readReadme();
  service = await startService({}, cleanUps.defer);
  return cleanUps.run;
});

function atTheService(code: string): string {
  expect(code.includes(address) || !code.includes('127.0.0.1')).toBe(true);
  return code.replaceAll(address, service.process.url);
}

/** What an example of the README leaves out is written as …, and any value may stand there. */
function pattern(example: unknown): unknown {
  if (typeof example === 'string') {
    return example.includes('…') ? expect.any(String) : example;
  }
  if (typeof example === 'object' && example !== null) {
    return expect.objectContaining(
      Object.fromEntries(Object.entries(example).map(([key, value]) => [key, pattern(value)])),
    );
  }
  return example;
}

describe('the first upload of the README', () => {
  test('runs in a shell as it stands, and answers what is printed there', async () => {
    const blocks = codeBlocks(sectionOf(readme, 'A first upload, broken and resumed'));
    const languages = blocks.map(({ language }) => language).join(' ');
    expect(languages).toBe('sh json sh json sh json sh');
    const [creating, breaking, resuming, looking] = blocks.filter(
      ({ language }) => language === 'sh',
    );
    const examples = blocks.filter(({ language }) => language === 'json');
    const answers: unknown[] = [];
    let preamble = 'set -eu\n';

    /** Runs a block after what the ones before it have set; its last answer is the one that is printed. */
    async function run(block: string): Promise<void> {
      const script = atTheService(preamble + block).replace('npx buf', 'node_modules/.bin/buf');
      const { code, output, errors } = await runProgram('bash', ['-c', script]);
      expect(code, `${script}\n${errors}`).toBe(0);
      answers.push(JSON.parse(output.split(/\n(?=\{)/).at(-1)!));
      preamble += `${block.match(/^\w+=.*$/gm)?.join('\n') ?? ''}\n`;
    }

    await run(creating!.code);
    const { task, image } = answers[0] as { task: { id: string }; image: { id: string } };
    const placeholder = (JSON.parse(examples[0]!.code) as { task: { id: string } }).task.id;
    expect(breaking!.code).toContain(`TASK=${placeholder}`);
    await run(breaking!.code.replace(placeholder, task.id));
    await run(resuming!.code);
    expect(answers).toEqual(examples.map(({ code }) => pattern(JSON.parse(code))));
    expect(String((await downloadBytes(service.images, image.id)).bytes)).toBe('hello world!');

    // The last block is for a second terminal: its watch ends by itself, since the task is done.
    const { code, output, errors } = await runProgram('bash', [
      '-c',
      atTheService(preamble + looking!.code).replace('npx buf', 'node_modules/.bin/buf'),
    ]);
    expect(code, errors).toBe(0);
    expect(output).toContain('"kind": "KIND_CREATED"');
    expect(output).toContain('"snapshot"');
  });

  test('runs in Node as it stands', async () => {
    const marked = readme.slice(readme.indexOf('<!-- tested'));
    const { language, code } = codeBlocks(marked)[0]!;
    expect(language).toBe('js');
    expect(code).toContain("'disk.raw'");
    const bytes = Buffer.alloc(5_000_000, 'ten lines of Node');
    await using folder = await makeDataDir();
    const disk = join(folder.path, 'disk.raw');
    await writeFile(disk, bytes);
    const script = atTheService(code).replace("'disk.raw'", JSON.stringify(disk));

    const node = [process.execPath, ['--input-type=module', '--eval', script]] as const;
    const { code: exit, output, errors } = await runProgram(...node);
    expect(exit, errors).toBe(0);
    expect(output).toContain(createHash('sha256').update(bytes).digest('hex'));
    const [, imageId] = /\bid: '([^']+)'/.exec(output)!;
    expect((await downloadBytes(service.images, imageId!)).bytes.equals(bytes)).toBe(true);
  });
});

describe('the README', () => {
  test('names commands that there are', async () => {
    const { scripts } = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = [...readme.matchAll(/npm (?:run )?(start|test|[a-z:]+)\b/g)]
      .map(([, name]) => name!)
      .filter((name) => name !== 'ci' && name !== 'run');
    expect(new Set(named)).toEqual(new Set(named.filter((name) => name in scripts)));
    expect(named).toEqual(expect.arrayContaining(['start', 'test', 'check', 'generate']));
  });

  test('lists the Debian packages that CI installs', async () => {
    const script = await readFile(join(repository, '.ci/run'), 'utf8');
    const installed = /^packages=\((.*)\)$/m.exec(script)![1]!;
    const [, listed] = /programs from Debian: `([^`]+)`/.exec(readme)!;
    expect(listed!.split(/\s+/)).toEqual(installed.split(' '));
  });

  test('refers to files that there are', async () => {
    const files = [...readme.matchAll(/\]\(([\w./-]+)\)|<!-- \w+: (\S+)/g)].map(
      ([, link, test]) => link ?? test!,
    );
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      await expect(access(join(repository, file)), file).resolves.toBeUndefined();
    }
  });
});
