import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import { ImageService } from '../../gen/darkroom/v1/image_service_pb.ts';
import { TaskService } from '../../gen/darkroom/v1/task_service_pb.ts';
import { createToken } from '../../src/identity/static-tokens/token-store.ts';
import {
  canMakeCertificates,
  Certificates,
  tlsEnv,
  type Identity,
} from '../support/certificates.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { failureOf } from '../support/failures.ts';
import { sending, startService, type RunningService } from '../support/running-service.ts';

const nova = { name: 'URI:spiffe://cloud.test/nova', user: 'nova', roles: ['service'] };
const build = { name: 'DNS:build.test', user: 'build', project: 'garden', roles: ['member'] };

const upload = {
  image: { name: 'disk', diskFormat: Image_DiskFormat.RAW },
  source: { case: 'upload', value: {} },
} as const;

describe.skipIf(!canMakeCertificates)('a service that knows callers by their certificates', () => {
  let service: RunningService;
  let serverAuthority: Identity;
  let file: string;
  let token: string;
  const who: Record<'nova' | 'build' | 'stranger', Identity> = {} as never;

  async function write(...identities: object[]): Promise<void> {
    await writeFile(`${file}.next`, JSON.stringify({ version: 1, identities }));
    await rename(`${file}.next`, file);
  }

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    const certificates = await Certificates.open();
    cleanUps.defer(certificates.remove);
    file = join(certificates.folder, 'identities.json');
    await write(nova, build);
    const tokensFile = join(certificates.folder, 'tokens.json');
    token = createToken(tokensFile, {
      user: 'ann',
      project: 'orchard',
      roles: ['reader'],
      description: undefined,
      lifetimeMs: undefined,
    }).token;
    serverAuthority = await certificates.authority('authority of servers');
    const authority = await certificates.authority('authority of clients');
    who.nova = await certificates.issue(authority, 'nova', {
      names: 'URI:spiffe://cloud.test/nova',
    });
    who.build = await certificates.issue(authority, 'build', {
      names: 'DNS:other.test,DNS:build.test',
    });
    // The subject is what its owner chose: it is no name here.
    who.stranger = await certificates.issue(authority, 'build.test', {
      names: 'DNS:stranger.test',
    });
    service = await startService(
      {
        ...tlsEnv(await certificates.server(serverAuthority), {
          clientCa: authority,
          clientAuth: 'optional',
        }),
        DARKROOM_CERTIFICATE_IDENTITIES_FILE: file,
        DARKROOM_TOKENS_FILE: tokensFile,
      },
      cleanUps.defer,
    );
    return cleanUps.run;
  }, 120_000);

  const kinds = ['gRPC', 'Connect over HTTP/1.1'] as const;

  function clients(
    kind: (typeof kinds)[number],
    identity: Identity | undefined,
    headers: Readonly<Record<string, string>> = {},
  ) {
    const options = {
      baseUrl: service.process.url,
      interceptors: [sending(headers)],
      nodeOptions: {
        ca: serverAuthority.cert,
        ...(identity && { cert: identity.cert, key: identity.key }),
      },
    };
    const transport =
      kind === 'gRPC'
        ? createGrpcTransport(options)
        : createConnectTransport({ ...options, httpVersion: '1.1' });
    return {
      images: createClient(ImageService, transport),
      tasks: createClient(TaskService, transport),
    };
  }

  describe.each(kinds)('over %s', (kind) => {
    test('takes a name that is mapped for who it stands for', async () => {
      const { task } = await clients(kind, who.build).images.createImage(upload);
      expect(task).toMatchObject({ projectId: 'garden', createdBy: 'build' });
      const headers = { 'x-darkroom-project': 'meadow' };
      const { image } = await clients(kind, who.nova, headers).images.createImage(upload);
      expect(image?.projectId).toBe('meadow');
      expect(
        await failureOf(clients(kind, who.build, headers).images.listImages({})),
      ).toMatchObject({ code: 'PermissionDenied', reason: 'PROJECT_NOT_ALLOWED' });
    });

    test('does not take another name, nor none', async () => {
      expect(await failureOf(clients(kind, who.stranger).images.listImages({}))).toMatchObject({
        code: 'Unauthenticated',
        reason: 'CREDENTIAL_INVALID',
      });
      expect(await failureOf(clients(kind, undefined).images.listImages({}))).toMatchObject({
        code: 'Unauthenticated',
        reason: 'CREDENTIAL_MISSING',
        message: expect.stringContaining('client certificate'),
      });
    });

    test('goes by the token of who has both', async () => {
      const authorization = `Bearer ${token}`;
      for (const identity of [who.build, who.stranger, undefined]) {
        const { images } = clients(kind, identity, { authorization });
        await images.listImages({});
        expect(await failureOf(images.createImage(upload))).toMatchObject({
          reason: 'ROLE_INSUFFICIENT',
          metadata: { role: 'reader' },
        });
      }
      const wrong = clients(kind, who.build, { authorization: 'Bearer dkr_wrong' });
      expect(await failureOf(wrong.images.listImages({}))).toMatchObject({
        reason: 'CREDENTIAL_INVALID',
      });
    });

    test('ends the watch of who is taken out of the file', async () => {
      const { images, tasks } = clients(kind, who.build);
      const { task } = await images.createImage(upload);
      let begun = false;
      const watching = (async () => {
        for await (const _ of tasks.watchTask({ taskId: task!.id })) {
          begun = true;
        }
      })();
      const ended = failureOf(watching);
      await expect.poll(() => begun).toBe(true);
      await write(nova);
      expect(await ended).toMatchObject({ code: 'Unauthenticated', reason: 'CREDENTIAL_INVALID' });
      expect(await failureOf(images.listImages({}))).toMatchObject({ code: 'Unauthenticated' });
      await write(nova, build);
      await expect
        .poll(() =>
          images.listImages({}).then(
            () => 'known',
            () => 'unknown',
          ),
        )
        .toBe('known');
    });
  });
});
