import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { Code } from '@connectrpc/connect';
import { ImageMember_Status } from '../../gen/darkroom/v1/image_member_pb.ts';
import { Image_DiskFormat, Image_Visibility } from '../../gen/darkroom/v1/image_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import type { Role } from '../../src/access/caller.ts';
import { createToken } from '../../src/identity/static-tokens/token-store.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { failureOf, readAll } from '../support/failures.ts';
import {
  connectTo,
  downloadBytes,
  startService,
  uploadFrames,
} from '../support/running-service.ts';
import { makeDataDir } from '../support/service-process.ts';

/** Who calls: a role in a project. The owner's are those of the project whose images these are. */
const principals = {
  owner: ['garden', 'member'],
  'admin of the owner': ['garden', 'admin'],
  'reader of the owner': ['garden', 'reader'],
  'service for the owner': [undefined, 'service'],
  'accepted member': ['accepted', 'member'],
  'pending member': ['pending', 'member'],
  'rejected member': ['rejected', 'member'],
  'other project': ['other', 'member'],
  'admin of another': ['other', 'admin'],
} as const satisfies Record<string, readonly [string | undefined, Role]>;
type Principal = keyof typeof principals;

const visibilities = ['PRIVATE', 'SHARED', 'COMMUNITY', 'PUBLIC'] as const;
type Visibility = (typeof visibilities)[number];
const memberProjects = ['accepted', 'pending', 'rejected'];

interface Caller extends ReturnType<typeof connectTo> {
  readonly headers: Readonly<Record<string, string>>;
  readonly project: string;
  readonly role: Role;
}

const cleanUps = new CleanUps();
const bytes = Buffer.from('a disk that is shared');
let url: string;
let callers: Readonly<Record<Principal, Caller>>;
let made: Readonly<Record<Visibility, { readonly imageId: string; readonly taskId: string }>>;

beforeAll(async () => {
  const folder = await makeDataDir();
  cleanUps.defer(folder.remove);
  const file = join(folder.path, 'tokens.json');
  const tokens = Object.entries(principals).map(([name, [project, role]]) => {
    const { token } = createToken(file, {
      user: name,
      project,
      roles: [role],
      description: undefined,
      lifetimeMs: undefined,
    });
    return [name, project, role, token] as const;
  });
  const service = await startService(
    { DARKROOM_TOKENS_FILE: file, DARKROOM_PROCESSES: '1' },
    cleanUps.defer,
  );
  url = service.process.url;
  callers = Object.fromEntries(
    tokens.map(([name, project, role, token]) => {
      const headers = {
        authorization: `Bearer ${token}`,
        ...(project === undefined && { 'x-darkroom-project': 'garden' }),
      };
      return [name, { ...connectTo(url, headers), headers, project: project ?? 'garden', role }];
    }),
  ) as unknown as typeof callers;
  made = Object.fromEntries(
    await Promise.all(visibilities.map(async (visibility) => [visibility, await make(visibility)])),
  ) as typeof made;
  return cleanUps.run;
}, 120_000);

/** An ACTIVE image of the garden, which was shared with each of the members before it became what it is. */
async function make(visibility: Visibility) {
  const { images } = callers['admin of the owner'];
  const { image, task } = await images.createImage({
    image: {
      name: visibility,
      diskFormat: Image_DiskFormat.RAW,
      visibility: Image_Visibility.SHARED,
    },
    source: { case: 'upload', value: {} },
  });
  const [imageId, taskId] = [image!.id, task!.id];
  await images.uploadImage(uploadFrames(bytes, { taskId }));
  for (const memberProjectId of memberProjects) {
    await images.addImageMember({ imageId, memberProjectId });
  }
  for (const name of ['accepted', 'rejected'] as const) {
    const status = ImageMember_Status[name === 'accepted' ? 'ACCEPTED' : 'REJECTED'];
    await callers[`${name} member`].images.updateImageMember({
      member: { imageId, memberProjectId: name, status },
      updateMask: { paths: ['status'] },
    });
  }
  await images.updateImage({
    image: { id: imageId, visibility: Image_Visibility[visibility] },
    updateMask: { paths: ['visibility'] },
  });
  return { imageId, taskId };
}

/** What a call comes to: `ok`, or the reason of its refusal. */
async function outcomeOf(call: Promise<unknown>): Promise<string | undefined> {
  return call.then(
    () => 'ok',
    async () => (await failureOf(call)).reason,
  );
}

const cases = (Object.keys(principals) as Principal[]).flatMap((principal) =>
  visibilities.map((visibility) => [principal, visibility] as const),
);

describe.each(cases)('the %s, of an image that is %s', (principal, visibility) => {
  const [project, role] = principals[principal];
  const own = project === undefined || project === 'garden';
  const isMember = project !== undefined && memberProjects.includes(project);
  const sees =
    own ||
    visibility === 'PUBLIC' ||
    visibility === 'COMMUNITY' ||
    (visibility === 'SHARED' && isMember);
  const unlessSeen = sees ? 'ok' : 'IMAGE_NOT_FOUND';
  /** Of a change: its own project's is refused for `ofOwn`. */
  const ofChange = (ofOwn: string): string =>
    role === 'reader'
      ? 'ROLE_INSUFFICIENT'
      : own
        ? ofOwn
        : sees
          ? 'IMAGE_NOT_OWNED'
          : 'IMAGE_NOT_FOUND';
  const ofTask = (ofOwn = 'ok'): string => (own ? ofOwn : 'TASK_NOT_FOUND');
  const ofTaskChange = (ofOwn: string): string =>
    role === 'reader' ? 'ROLE_INSUFFICIENT' : ofTask(ofOwn);

  test('reads it or not, and is told of its tasks or not', async () => {
    const { images } = callers[principal];
    const { imageId, taskId } = made[visibility];
    const call = images.getImage({ imageId });
    expect(await outcomeOf(call)).toBe(unlessSeen);
    if (sees) {
      const { image } = await call;
      expect(image).toMatchObject({
        id: imageId,
        projectId: 'garden',
        latestTask: own ? taskId : '',
      });
    }
  });

  test('has it in its lists or not', async () => {
    const { images } = callers[principal];
    const names = async (filter: Parameters<typeof images.listImages>[0]['filter']) =>
      (await images.listImages({ filter, pageSize: 1000 })).images.map(({ id }) => id);
    const { imageId } = made[visibility];
    const isListed =
      own || visibility === 'PUBLIC' || (visibility === 'SHARED' && project === 'accepted');
    expect((await names({})).includes(imageId)).toBe(isListed);
    expect((await names({ visibilities: [Image_Visibility.COMMUNITY] })).includes(imageId)).toBe(
      visibility === 'COMMUNITY',
    );
    const statuses = [1, 2, 3] as ImageMember_Status[];
    expect((await names({ projectId: 'garden', memberStatuses: statuses })).includes(imageId)).toBe(
      sees,
    );
  });

  test('downloads it or not, over gRPC and over REST', async () => {
    const { images, headers } = callers[principal];
    const { imageId } = made[visibility];
    const download = downloadBytes(images, imageId);
    expect(await outcomeOf(download)).toBe(unlessSeen);
    for (const path of ['', '/file']) {
      const response = await fetch(`${url}/v2/images/${imageId}${path}`, { headers });
      expect(response.status).toBe(sees ? 200 : 404);
      const body = await response.text();
      if (sees && path === '') {
        expect(JSON.parse(body)).toMatchObject({
          owner: 'garden',
          visibility: visibility.toLowerCase(),
          protected: false,
        });
      }
    }
    if (sees) {
      expect((await download).bytes).toEqual(bytes);
    }
  });

  test('changes and deletes it or not', async () => {
    const { images } = callers[principal];
    const { imageId } = made[visibility];
    // Of a change that is allowed, the etag is wrong: the image stays for the next one.
    const update = images.updateImage({
      image: { id: imageId, etag: 'stale', name: 'x' },
      updateMask: { paths: ['name'] },
    });
    expect(await outcomeOf(update)).toBe(ofChange('ETAG_MISMATCH'));
    expect(await outcomeOf(images.deleteImage({ imageId, etag: 'stale' }))).toBe(
      ofChange('ETAG_MISMATCH'),
    );
  });

  test('copies it or not', async () => {
    const { images, project: callersProject } = callers[principal];
    const copy = images.createImage({
      image: { name: 'copy', diskFormat: Image_DiskFormat.RAW },
      source: {
        case: 'copyFrom',
        value: { from: { case: 'imageId', value: made[visibility].imageId } },
      },
    });
    expect(await outcomeOf(copy)).toBe(role === 'reader' ? 'ROLE_INSUFFICIENT' : unlessSeen);
    if (sees && role !== 'reader') {
      const { image, task } = await copy;
      expect(image!.projectId).toBe(callersProject);
      const { tasks } = callers[principal];
      await readAll(tasks.watchTask({ taskId: task!.id }));
      expect((await tasks.getTask({ taskId: task!.id })).task!.state).toBe(Task_State.SUCCEEDED);
    }
  });

  test('has nothing to do with its task, unless it is of its project', async () => {
    const { images, tasks } = callers[principal];
    const { imageId, taskId } = made[visibility];
    expect(await outcomeOf(tasks.getTask({ taskId }))).toBe(ofTask());
    expect(await outcomeOf(readAll(tasks.watchTask({ taskId })))).toBe(ofTask());
    expect(await outcomeOf(tasks.listTaskEvents({ taskId }))).toBe(ofTask());
    expect(await outcomeOf(tasks.listFaults({ of: { case: 'taskId', value: taskId } }))).toBe(
      ofTask(),
    );
    expect(await outcomeOf(tasks.listFaults({ of: { case: 'imageId', value: imageId } }))).toBe(
      own ? 'ok' : sees ? 'IMAGE_NOT_OWNED' : 'IMAGE_NOT_FOUND',
    );
    expect((await tasks.listTasks({})).tasks.some(({ id }) => id === taskId)).toBe(own);
    expect(await outcomeOf(images.resumeUpload({ taskId }))).toBe(ofTaskChange('ok'));
    expect(await outcomeOf(images.uploadChunk({ taskId, data: bytes.subarray(0, 1) }))).toBe(
      ofTaskChange('ok'),
    );
    expect(await outcomeOf(images.uploadImage(uploadFrames(bytes, { taskId })))).toBe(
      ofTaskChange('ok'),
    );
    expect(await outcomeOf(tasks.cancelTask({ taskId }))).toBe(ofTaskChange('TASK_TERMINAL'));
    expect(await outcomeOf(tasks.retryTask({ taskId }))).toBe(ofTaskChange('TASK_STATE_INVALID'));
    expect(await outcomeOf(tasks.reportProgress({ taskId, message: 'x' }))).toBe(
      ofTaskChange('TASK_TERMINAL'),
    );
  });

  test('sees and changes its members or not', async () => {
    const { images } = callers[principal];
    const { imageId } = made[visibility];
    const isShared = visibility === 'SHARED';
    const ofReading = own
      ? 'ok'
      : sees
        ? isShared
          ? 'ok'
          : 'IMAGE_NOT_SHARED'
        : 'IMAGE_NOT_FOUND';
    const list = images.listImageMembers({ imageId });
    expect(await outcomeOf(list)).toBe(ofReading);
    if (ofReading === 'ok') {
      expect((await list).members.map(({ memberProjectId }) => memberProjectId)).toEqual(
        own ? memberProjects : [project],
      );
    }
    const itself = project ?? 'garden';
    expect(await outcomeOf(images.getImageMember({ imageId, memberProjectId: 'accepted' }))).toBe(
      ofReading === 'ok' && !own && itself !== 'accepted' ? 'MEMBER_NOT_FOUND' : ofReading,
    );
    expect(await outcomeOf(images.addImageMember({ imageId, memberProjectId: 'accepted' }))).toBe(
      ofChange(isShared ? 'MEMBER_EXISTS' : 'IMAGE_NOT_SHARED'),
    );
    expect(await outcomeOf(images.removeImageMember({ imageId, memberProjectId: 'nobody' }))).toBe(
      ofChange('MEMBER_NOT_FOUND'),
    );
    const say = (memberProjectId: string) =>
      images.updateImageMember({
        member: { imageId, memberProjectId, status: 1, etag: 'stale' },
        updateMask: { paths: ['status'] },
      });
    expect(await outcomeOf(say('nobody'))).toBe(
      role === 'reader'
        ? 'ROLE_INSUFFICIENT'
        : own
          ? 'MEMBER_NOT_CALLER'
          : sees
            ? 'MEMBER_NOT_FOUND'
            : 'IMAGE_NOT_FOUND',
    );
    if (!own) {
      expect(await outcomeOf(say(itself))).toBe(
        sees ? (isShared ? 'ETAG_MISMATCH' : 'IMAGE_NOT_SHARED') : 'IMAGE_NOT_FOUND',
      );
    }
  });
});

test('what an unknown id is answered with, another project’s is, word for word', async () => {
  const { images, tasks } = callers['other project'];
  const unknown = '01a00000-0000-7000-8000-000000000000';
  const { imageId, taskId } = made.PRIVATE;
  const of = async (call: (id: string) => Promise<unknown>, id: string) => {
    const { code, reason, message } = await failureOf(call(id));
    expect(code).toBe(Code[Code.NotFound]);
    return { reason, message: message.replaceAll(id, 'id') };
  };
  for (const call of [
    (id: string) => images.getImage({ imageId: id }),
    (id: string) => images.deleteImage({ imageId: id }),
    (id: string) => readAll(images.downloadImage({ imageId: id })),
    (id: string) => images.listImageMembers({ imageId: id }),
  ]) {
    expect(await of(call, imageId)).toEqual(await of(call, unknown));
  }
  for (const call of [
    (id: string) => tasks.getTask({ taskId: id }),
    (id: string) => readAll(tasks.watchTask({ taskId: id })),
    (id: string) => tasks.cancelTask({ taskId: id }),
    (id: string) => images.resumeUpload({ taskId: id }),
  ]) {
    expect(await of(call, taskId)).toEqual(await of(call, unknown));
  }
});
