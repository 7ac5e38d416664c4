import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CleanUps } from '../support/clean-ups.ts';
import { downloadBytes, startService, type RunningService } from '../support/running-service.ts';
import { repository } from '../support/service-process.ts';
import { ShellWorld } from '../support/shell-world.ts';

const MiB = 2 ** 20;
const example = join(repository, 'examples/ci-publish');
const publish = join(example, 'publish-image.sh');

describe('the CI job that publishes an image', () => {
  let service: RunningService;
  let world: ShellWorld;

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    service = await startService({ DARKROOM_COMMIT_BYTES: '1048576' }, cleanUps.defer);
    return cleanUps.run;
  });

  beforeEach(async () => {
    world = await ShellWorld.make({ DARKROOM_ENDPOINT: service.process.url });
    return () => world[Symbol.asyncDispose]();
  });

  async function build(mib: number): Promise<Buffer> {
    const bytes = randomBytes(mib * MiB);
    await writeFile(join(world.folder, 'image.raw'), bytes);
    return bytes;
  }

  const namesOf = async (prefix: string): Promise<string[]> => {
    const { images } = await service.images.listImages({ filter: { namePrefix: prefix } });
    return images.map(({ properties }) => properties['revision'] ?? '').toSorted();
  };

  test('brings the image of a revision, prints its id, and does nothing more when it is run again', async () => {
    const bytes = await build(3);
    const id = (await world.play(`${publish} image.raw once abc123`)).trim();
    expect((await downloadBytes(service.images, id)).bytes.equals(bytes)).toBe(true);
    const { image } = await service.images.getImage({ imageId: id });
    expect(image).toMatchObject({ name: 'once', properties: { revision: 'abc123' }, tags: ['ci'] });
    expect((await world.play(`${publish} image.raw once abc123`)).trim()).toBe(id);
    expect(await namesOf('once')).toEqual(['abc123']);
  });

  test('is killed in the middle, and run again goes on with the same image', async () => {
    const bytes = await build(200);
    const job = world.start(`exec ${publish} image.raw killed def456`);
    const upload = async () => {
      const { images } = await service.images.listImages({ filter: { namePrefix: 'killed' } });
      const [image] = images;
      const { tasks } = await service.tasks.listTasks({ filter: { imageId: image?.id ?? '' } });
      return image === undefined ? undefined : { imageId: image.id, task: tasks[0]! };
    };
    await expect
      .poll(async () => Number((await upload())?.task.progress?.bytesDone ?? 0n), { interval: 10 })
      .toBeGreaterThan(0);
    process.kill(-job.child.pid!, 'SIGKILL');
    expect((await job.ended).output).toBe('');
    const before = await upload();
    const id = (await world.play(`${publish} image.raw killed def456`)).trim();
    expect(id).toBe(before!.imageId);
    expect((await upload())!.task.id).toBe(before!.task.id);
    expect((await downloadBytes(service.images, id)).bytes.equals(bytes)).toBe(true);
  });

  test('keeps some of the older ones, of its own name alone, and those that are protected', async () => {
    const published: string[] = [];
    for (const revision of ['r1', 'r2', 'r3', 'r4']) {
      await build(1);
      published.push(
        (await world.play(`${publish} image.raw many ${revision}`, { KEEP: '9' })).trim(),
      );
    }
    await build(1);
    await world.play(`${publish} image.raw many-more r1`);
    const [first] = published;
    const { image } = await service.images.getImage({ imageId: first! });
    await service.images.updateImage({
      image: { ...image!, protected: true },
      updateMask: { paths: ['protected'] },
    });
    await build(1);
    const { errors } = await world.run(`${publish} image.raw many r5`, { KEEP: '2' });
    expect(errors).toContain(`kept: ${first}`);
    const { images } = await service.images.listImages({ filter: { namePrefix: 'many' } });
    expect(
      images.map(({ name, properties }) => `${name} ${properties['revision']}`).toSorted(),
    ).toEqual(['many r1', 'many r4', 'many r5', 'many-more r1']);
  });

  test('ends with the exit code of what went wrong, and prints no id', async () => {
    await build(1);
    const nowhere = { DARKROOM_ENDPOINT: 'http://127.0.0.1:1' };
    expect(await world.run(`${publish} none.raw missing r1`)).toMatchObject({ output: '' });
    const { code, output } = await world.run(`timeout 60 ${publish} image.raw away r1`, nowhere);
    expect([code, output]).toEqual([6, '']);
    expect((await world.run(`${publish} image.raw odd 'a b'`)).code).toBe(2);
  });

  test('is called as the files for GitHub and GitLab have it', async () => {
    await build(1);
    const name = `web-${randomBytes(4).toString('hex')}`;
    const here = (command: string): string =>
      command
        .replace('./publish-image.sh', publish)
        .replace('image.qcow2', 'image.raw')
        .replace(' web ', ` ${name} `);
    const workflow = await readFile(join(example, 'github-workflow.yml'), 'utf8');
    const step = /^ +- id: publish\n +run: (.*)$/m.exec(workflow)![1]!;
    const output = join(world.folder, 'output');
    await world.play(here(step), { GITHUB_SHA: 'abc', GITHUB_OUTPUT: output });
    const id = /^image=([0-9a-f-]{36})\n$/.exec(await readFile(output, 'utf8'))![1]!;

    const pipeline = await readFile(join(example, 'gitlab-ci.yml'), 'utf8');
    const line = /^ +- (\.\/publish-image\.sh .*)$/m.exec(pipeline)![1]!;
    await world.play(here(line), { CI_COMMIT_SHA: 'abc' });
    expect((await readFile(join(world.folder, 'image-id'), 'utf8')).trim()).toBe(id);
  });
});
