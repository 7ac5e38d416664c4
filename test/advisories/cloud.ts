import { join } from 'node:path';
import { createClient, type Client } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { expect, vi } from 'vitest';
import { Image_DiskFormat, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { QuotaService } from '../../gen/darkroom/v1/quota_service_pb.ts';
import { Task_State, type Task } from '../../gen/darkroom/v1/task_pb.ts';
import type { Role } from '../../src/access/caller.ts';
import { createToken } from '../../src/identity/static-tokens/token-store.ts';
import { importEnv } from '../imports/import-world.ts';
import {
  connectTo,
  sending,
  startService,
  uploadFrames,
  type RunningService,
} from '../support/running-service.ts';
import { makeDataDir } from '../support/service-process.ts';

/** An answer of plain HTTP. */
export interface RestAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
}

/** Somebody who calls the service with a token of a project and a role. */
export interface Person extends Pick<RunningService, 'images' | 'tasks'> {
  readonly quotas: Client<typeof QuotaService>;
  readonly headers: Readonly<Record<string, string>>;
  readonly project: string;
  /** Asks over plain HTTP. */
  rest(
    method: string,
    path: string,
    more?: { readonly headers?: Readonly<Record<string, string>>; readonly body?: string | Buffer },
  ): Promise<RestAnswer>;
}

/** A service with identities, as it stands in a cloud. */
export interface Cloud {
  readonly service: RunningService;
  readonly tokensFile: string;
  /** Makes somebody known. */
  person(project: string, role: Role): Promise<Person>;
}

type Defer = (cleanUp: () => Promise<void>) => void;

/** Starts a cloud whose imports reach 127.0.0.1. */
export async function startCloud(
  env: Readonly<Record<string, string>>,
  defer: Defer,
): Promise<Cloud> {
  const folder = await makeDataDir();
  defer(folder.remove);
  const tokensFile = join(folder.path, 'tokens.json');
  // One who is there from the beginning, since a service does not start on no file.
  newToken(tokensFile, 'nobody', 'reader');
  const service = await startService(
    { ...importEnv, DARKROOM_TOKENS_FILE: tokensFile, ...env },
    defer,
  );
  const { url } = service.process;
  return {
    service,
    tokensFile,
    async person(project, role) {
      const headers = {
        authorization: `Bearer ${newToken(tokensFile, project, role)}`,
      };
      const transport = createGrpcTransport({ baseUrl: url, interceptors: [sending(headers)] });
      const someone: Person = {
        ...connectTo(url, headers),
        quotas: createClient(QuotaService, transport),
        headers,
        project,
        async rest(method, path, { headers: others = {}, body } = {}) {
          const answer = await fetch(`${url}${path}`, {
            method,
            headers: { ...headers, ...others },
            ...(body !== undefined && { body: new Uint8Array(Buffer.from(body)) }),
          });
          return {
            status: answer.status,
            headers: answer.headers,
            body: Buffer.from(await answer.arrayBuffer()),
          };
        },
      };
      // The file is read again within a second.
      await vi.waitFor(
        async () => {
          expect((await someone.rest('GET', '/v2/tasks')).status).toBe(200);
        },
        { timeout: 30_000, interval: 20 },
      );
      return someone;
    },
  };
}

function newToken(file: string, project: string, role: Role): string {
  return createToken(file, {
    user: `${role} of ${project}`,
    project,
    roles: [role],
    description: undefined,
    lifetimeMs: undefined,
  }).token;
}

/** What is said of an image that is to be made. */
export const disk = (
  name: string,
  format: keyof typeof Image_DiskFormat = 'RAW',
): { readonly name: string; readonly diskFormat: Image_DiskFormat } => ({
  name,
  diskFormat: Image_DiskFormat[format],
});

/** Makes an ACTIVE image of these bytes. */
export async function activeImage(
  { images }: Person,
  bytes: Uint8Array,
  more: object = {},
): Promise<{ readonly imageId: string; readonly taskId: string }> {
  const { image, task } = await images.createImage({
    image: { ...disk('a disk'), ...more },
    source: { case: 'upload', value: {} },
  });
  const taskId = task!.id;
  const { complete } = await images.uploadImage(uploadFrames(bytes, { taskId }));
  expect(complete).toBe(true);
  return { imageId: image!.id, taskId };
}

/** Asks for an import. */
export async function importFrom(
  { images }: Person,
  url: string,
  more: { readonly format?: keyof typeof Image_DiskFormat } & Readonly<
    Record<string, unknown>
  > = {},
): Promise<{ readonly imageId: string; readonly taskId: string }> {
  const { format = 'RAW', ...stated } = more;
  const { image, task } = await images.createImage({
    image: disk('fetched', format),
    source: { case: 'copyFrom', value: { from: { case: 'url', value: url }, ...stated } },
  });
  return { imageId: image!.id, taskId: task!.id };
}

/** Resolves with a task once it has ended. */
export async function endOf({ tasks }: Person, taskId: string): Promise<Task> {
  for await (const _ of tasks.watchTask({ taskId })) {
    // To its end.
  }
  return (await tasks.getTask({ taskId })).task!;
}

/** Holds that an image never came to be: its task failed for this, and nothing can be read of it. */
export async function expectNothing(
  person: Person,
  { imageId, taskId }: { readonly imageId: string; readonly taskId: string },
  reason: RegExp,
): Promise<void> {
  const task = await endOf(person, taskId);
  expect(task).toMatchObject({ state: Task_State.FAILED, lastFault: { fatal: true } });
  expect(task.lastFault?.reason).toMatch(reason);
  const { image } = await person.images.getImage({ imageId });
  expect(image?.state).toBe(Image_State.QUEUED);
  const { status, body } = await person.rest('GET', `/v2/images/${imageId}/file`);
  // Glance says so of an image without bytes; of one that is deleted there is not even a place for them.
  expect(status === 204 ? body.length : status).toSatisfy((told) => told === 0 || told >= 400);
}
