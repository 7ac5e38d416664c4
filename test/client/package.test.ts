import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { rolldown } from 'rolldown';
import { beforeAll, describe, expect, test } from 'vitest';
import { CleanUps } from '../support/clean-ups.ts';
import { runProgram } from '../support/programs.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { makeDataDir, repository } from '../support/service-process.ts';

/** Where the package is installed, beside nothing but its own dependencies. */
let consumer: string;
let service: RunningService;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  const dir = await makeDataDir('disk');
  cleanUps.defer(() => dir.remove());
  const checkout = join(dir.path, 'checkout');
  consumer = join(dir.path, 'consumer');
  for (const name of [
    'src',
    'gen',
    'build',
    'package.json',
    'tsconfig.json',
    'README.md',
    'LICENSE',
  ]) {
    await cp(join(repository, name), join(checkout, name), { recursive: true });
  }
  await symlink(join(repository, 'node_modules'), join(checkout, 'node_modules'));
  const built = await shell(
    checkout,
    `"$0" build/main.ts client command-line && npm pack --ignore-scripts --silent`,
  );
  expect(built, built.errors).toMatchObject({ code: 0 });
  const tarball = join(checkout, built.output.trim().split('\n').at(-1)!);
  const installed = join(consumer, 'node_modules/darkroom');
  await mkdir(installed, { recursive: true });
  const unpacked = await shell(installed, `tar -xzf ${tarball} --strip-components 1`);
  expect(unpacked, unpacked.errors).toMatchObject({ code: 0 });
  const { dependencies } = await packageJson(installed);
  for (const name of Object.keys(dependencies)) {
    await mkdir(dirname(join(consumer, 'node_modules', name)), { recursive: true });
    await symlink(join(repository, 'node_modules', name), join(consumer, 'node_modules', name));
  }
  await writeFile(join(consumer, 'package.json'), '{ "type": "module" }');
  service = await startService({}, cleanUps.defer);
  return cleanUps.run;
});

function shell(folder: string, script: string): ReturnType<typeof runProgram> {
  return runProgram('bash', ['-c', `cd "$1" && ${script}`, process.execPath, folder]);
}

async function packageJson(folder: string): Promise<{
  readonly dependencies: Readonly<Record<string, string>>;
  readonly files: readonly string[];
}> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as never;
}

/** A program that uploads, downloads and follows, by any road. */
const program = `
import { createDarkroomClient, DarkroomError, Image_DiskFormat } from 'darkroom/client';
import { grpcJsTransport } from 'darkroom/client/grpc-js';
import { writeFileSync, readFileSync } from 'node:fs';

const endpoint = process.argv[2];
writeFileSync('disk.raw', Buffer.alloc(3_000_000, 'any Node'));
for (const options of [{ endpoint }, { endpoint, protocol: 'connect' }, { transport: grpcJsTransport({ endpoint }) }]) {
  const client = createDarkroomClient(options);
  const { image, task } = await client.uploadImage('disk.raw', { image: { name: 'd', diskFormat: Image_DiskFormat.RAW } });
  await client.waitForTask(task.id);
  await client.downloadImage(image.id, 'copy.raw');
  if (!readFileSync('copy.raw').equals(readFileSync('disk.raw'))) throw new Error('not the same');
  const error = await client.images.getImage({ imageId: 'x' }).catch((thrown) => thrown);
  console.log(image.sizeBytes, error instanceof DarkroomError, error.reason);
  client.close();
  options.transport?.close();
}
`;

describe('the package', () => {
  test('has what is needed, and no more', async () => {
    const installed = join(consumer, 'node_modules/darkroom');
    const { files } = await packageJson(installed);
    const tops = files.map((file) => file.split('/')[0]!);
    const always = ['package.json', 'README.md', 'LICENSE'];
    expect([...always, ...tops]).toEqual(expect.arrayContaining(await readdir(installed)));
    const sources = (await readdir(installed, { recursive: true })).filter(
      (name) => name.endsWith('.ts') && !name.endsWith('.d.ts'),
    );
    expect(sources).toEqual([]);
  });

  const oldNode = '/usr/bin/node';
  const nodes = [
    ['the Node that it brings', process.execPath],
    ...(existsSync(oldNode) ? [['the Node of the system', oldNode] as const] : []),
  ] as const;

  test.each(nodes)('uploads, follows and downloads under %s', async (_, node) => {
    await writeFile(join(consumer, 'program.mjs'), program);
    const { code, output, errors } = await shell(
      consumer,
      `${node} program.mjs ${service.process.url}`,
    );
    expect({ code, errors }).toEqual({ code: 0, errors: '' });
    expect(output.trim().split('\n')).toEqual(
      Array.from({ length: 3 }, () => '3000000n true FIELD_INVALID'),
    );
  });

  const typed = `
    import { createDarkroomClient, DarkroomError, type DarkroomClient, type UploadResult } from 'darkroom/client';
    export async function use(client: DarkroomClient): Promise<bigint | undefined> {
      const result: UploadResult = await client.uploadImage(new Blob([]), {
        image: { name: 'disk', diskFormat: 1 },
        onProgress: ({ step, committedBytes }) => console.log(step, committedBytes.toFixed()),
      });
      for await (const news of client.watchTask(result.task.id)) {
        if (news.kind === 'update') console.log(news.event.cause.length);
      }
      // @ts-expect-error -- an upload says what it is for
      await client.uploadImage(new Blob([]), {}).catch((error: unknown) => error);
      const { image } = await client.images.getImage({ imageId: result.image.id });
      // @ts-expect-error -- there is no such field
      image?.nonsense;
      return image?.sizeBytes;
    }
    export const isDarkroom = (error: unknown): boolean => error instanceof DarkroomError && error.reason === 'IMAGE_NOT_FOUND';
  `;

  test.each([
    [
      'Node',
      'nodenext',
      ['es2024'],
      `createDarkroomClient({ endpoint: 'http://a', tls: { ca: 'x' } });`,
    ],
    [
      'a bundler',
      'bundler',
      ['es2024', 'dom', 'dom.asynciterable'],
      `createDarkroomClient({ endpoint: location.origin });`,
    ],
  ])('has types for %s', async (name, moduleResolution, lib, making) => {
    const folder = join(consumer, `types-${moduleResolution}`);
    await mkdir(join(folder, 'node_modules/@types'), { recursive: true });
    const isNode = moduleResolution === 'nodenext';
    if (isNode) {
      await symlink(
        join(repository, 'node_modules/@types/node'),
        join(folder, 'node_modules/@types/node'),
      );
    }
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
    await writeFile(join(folder, 'use.ts'), `${typed}\n${making}\n`);
    const compilerOptions = {
      target: 'es2024',
      module: isNode ? 'nodenext' : 'esnext',
      moduleResolution,
      lib,
      types: isNode ? ['node'] : [],
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      // Our own types stand as they are; those of connect-node name what only browsers have.
      skipLibCheck: isNode,
    };
    await writeFile(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['use.ts'] }),
    );
    const { code, output, errors } = await shell(
      folder,
      `${repository}/node_modules/.bin/tsc -p .`,
    );
    expect({ code, output, errors }, name).toEqual({ code: 0, output: '', errors: '' });
  });

  test('is bundled for a browser without anything of Node', async () => {
    const entry = join(consumer, 'page.js');
    await writeFile(
      entry,
      `import { createDarkroomClient } from 'darkroom/client';
       globalThis.client = createDarkroomClient({ endpoint: location.origin });`,
    );
    const warnings: string[] = [];
    const build = await rolldown({
      cwd: consumer,
      platform: 'browser',
      input: entry,
      onwarn: (warning) => warnings.push(warning.message),
    });
    const { output } = await build.generate({ format: 'esm', minify: true });
    await build.close();
    const [{ code, imports, dynamicImports }] = output;
    expect({ warnings, imports, dynamicImports }).toEqual({
      warnings: [],
      imports: [],
      dynamicImports: [],
    });
    // protobuf-es looks whether there is a process.
    expect(/node:|require\(|\beval\(|new Function|WebAssembly/.exec(code)?.[0]).toBeUndefined();
    // All of it, and what it stands on.
    expect(code.length).toBeLessThan(220_000);
    await rm(entry);
  });
});
