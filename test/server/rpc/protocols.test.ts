import { createClient, Code, ConnectError } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { describe, expect, it } from 'vitest';
import { ImageService } from '../../../gen/darkroom/v1/image_service_pb.ts';
import { TaskService } from '../../../gen/darkroom/v1/task_service_pb.ts';
import { ErrorInfoSchema } from '../../../gen/google/rpc/error_details_pb.ts';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { callerOf, peerOf } from '../../../src/server/transport/request-context.ts';
import { startFakeServer, transportOf, transports } from '../fake-server.ts';

describe.each(transports)('$protocol over HTTP/$httpVersion', (kind) => {
  it('answers a unary call', async () => {
    const server = await startFakeServer({
      images: {
        getImage: ({ imageId }, context) => ({
          image: { id: imageId, name: callerOf(context).projectId, tags: [peerOf(context)] },
        }),
      },
    });
    const client = createClient(ImageService, transportOf(server.url, kind));
    const { image } = await client.getImage({ imageId: 'a' });
    expect(image).toMatchObject({ id: 'a', name: 'default' });
    expect(image?.tags[0]).toMatch(/^127\.0\.0\.1:\d+$/);
  });

  it('takes a client stream', async () => {
    const server = await startFakeServer({
      images: {
        async uploadImage(frames) {
          let size = 0;
          for await (const { frame } of frames) {
            size += frame.case === 'chunk' ? frame.value.data.byteLength : 0;
          }
          return { committedSize: BigInt(size), complete: true };
        },
      },
    });
    const client = createClient(ImageService, transportOf(server.url, kind));
    const chunk = { frame: { case: 'chunk' as const, value: { data: new Uint8Array(200_000) } } };
    const response = await client.uploadImage(
      (async function* () {
        for (let count = 0; count < 20; count++) {
          yield chunk;
        }
      })(),
    );
    expect(response).toMatchObject({ committedSize: 4_000_000n, complete: true });
  });

  it('gives a server stream', async () => {
    const server = await startFakeServer({
      tasks: {
        async *watchTask() {
          yield { resumeToken: '1' };
          yield { resumeToken: '2' };
        },
      },
    });
    const client = createClient(TaskService, transportOf(server.url, kind));
    const tokens = [];
    for await (const { resumeToken } of client.watchTask({})) {
      tokens.push(resumeToken);
    }
    expect(tokens).toEqual(['1', '2']);
  });

  it('carries the reason of an error, before and after the first message of a stream', async () => {
    const server = await startFakeServer({
      images: {
        getImage() {
          throw new DarkroomError('IMAGE_NOT_FOUND', 'no such image: ä', { metadata: { id: 'a' } });
        },
      },
      tasks: {
        async *watchTask() {
          yield { resumeToken: '1' };
          throw new DarkroomError('OFFSET_MISMATCH', 'x');
        },
      },
    });
    const transport = transportOf(server.url, kind);
    const error = await createClient(ImageService, transport)
      .getImage({})
      .catch((thrown: unknown) => ConnectError.from(thrown));
    expect(error).toMatchObject({ code: Code.NotFound, rawMessage: 'no such image: ä' });
    expect((error as ConnectError).findDetails(ErrorInfoSchema)).toMatchObject([
      { reason: 'IMAGE_NOT_FOUND', domain: 'darkroom', metadata: { id: 'a' } },
    ]);

    const watch = createClient(TaskService, transport).watchTask({})[Symbol.asyncIterator]();
    expect(await watch.next()).toMatchObject({ value: { resumeToken: '1' } });
    const late = await watch.next().catch((thrown: unknown) => ConnectError.from(thrown));
    expect(late).toMatchObject({ code: Code.Aborted });
    expect((late as ConnectError).findDetails(ErrorInfoSchema)).toMatchObject([
      { reason: 'OFFSET_MISMATCH' },
    ]);
  });

  it('echoes the request id, and makes one where there is none', async () => {
    const server = await startFakeServer({
      images: { getImage: () => ({}) },
      tasks: {
        async *watchTask() {
          yield {};
        },
      },
    });
    const ids: (string | null)[] = [];
    const transport = transportOf(server.url, kind, (header) =>
      ids.push(header.get('x-request-id')),
    );
    const images = createClient(ImageService, transport);
    const headers = { 'x-request-id': 'my id 1' };
    await images.getImage({}, { headers });
    for await (const _ of createClient(TaskService, transport).watchTask({}, { headers })) {
      // One message.
    }
    await images.getImage({});
    await images.getImage({}, { headers: { 'x-request-id': 'x'.repeat(129) } });
    expect(ids.slice(0, 2)).toEqual(['my id 1', 'my id 1']);
    expect(ids[2]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/);
    expect(ids[3]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/);
    expect(ids[3]).not.toBe(ids[2]);
  });

  it('ends an upload that is refused while its client still sends', async () => {
    const server = await startFakeServer({
      images: {
        async uploadImage(frames) {
          for await (const _ of frames) {
            throw new DarkroomError('WRITER_FENCED', 'another writer has the upload');
          }
          return {};
        },
      },
    });
    const client = createClient(ImageService, transportOf(server.url, kind));
    const chunk = { frame: { case: 'chunk' as const, value: { data: new Uint8Array(200_000) } } };
    const upload = client.uploadImage(
      (async function* () {
        for (let count = 0; count < 100; count++) {
          yield chunk;
        }
      })(),
    );
    await expect(upload).rejects.toMatchObject({
      code: Code.Aborted,
      rawMessage: 'another writer has the upload',
    });
  });
});

it.each(['1.1', '2'] as const)(
  'reads by plain GET through Connect over HTTP/%s',
  async (httpVersion) => {
    const methods: string[] = [];
    const server = await startFakeServer({
      images: {
        getImage({ imageId }, context) {
          methods.push(context.requestMethod);
          return { image: { id: imageId } };
        },
      },
    });
    const transport = createConnectTransport({
      baseUrl: server.url,
      httpVersion,
      useHttpGet: true,
    });
    const { image } = await createClient(ImageService, transport).getImage({ imageId: 'ä b' });
    expect(image?.id).toBe('ä b');
    expect(methods).toEqual(['GET']);
  },
);
