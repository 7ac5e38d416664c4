import { createClient, Code, ConnectError, type HandlerContext } from '@connectrpc/connect';
import { AssertionError } from 'node:assert';
import { setTimeout } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import { DriverException } from '@mikro-orm/core';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ImageService } from '../../../gen/darkroom/v1/image_service_pb.ts';
import { TaskService } from '../../../gen/darkroom/v1/task_service_pb.ts';
import { Code as ContractCode } from '../../../gen/google/rpc/code_pb.ts';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from '../../../gen/google/rpc/error_details_pb.ts';
import { toBinary, create } from '@bufbuild/protobuf';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { failureReasons } from '../../../src/domain/failure-reason.ts';
import { answerTo, connectErrorOf } from '../../../src/server/errors/error-mapping.ts';
import { startFakeServer, transportOf, untilAborted, type FakeServer } from '../fake-server.ts';

const call = { requestId: 'r1', signal: new AbortController().signal };

function withCode(message: string, code: string): Error {
  return Object.assign(new Error(message), { code });
}

function reasonOf(error: ConnectError): string | undefined {
  return error.findDetails(ErrorInfoSchema)[0]?.reason;
}

function detailBytes(error: ConnectError): number {
  return error.details.reduce(
    (sum, detail) =>
      sum +
      ('desc' in detail ? toBinary(detail.desc, create(detail.desc, detail.value)).length : 0),
    0,
  );
}

describe('a domain error', () => {
  it.each(Object.entries(failureReasons))('%s keeps its code', (reason, { code }) => {
    const error = connectErrorOf(new DarkroomError(reason as keyof typeof failureReasons, 'x'));
    expect([error.code, reasonOf(error)]).toEqual([code, reason]);
  });

  it('takes the code that it was thrown with', () => {
    const error = new DarkroomError('TASK_EXPIRED', 'x', {
      code: ContractCode.FAILED_PRECONDITION,
    });
    expect(connectErrorOf(error).code).toBe(Code.FailedPrecondition);
  });

  it('carries metadata, field violations and when to try again', () => {
    const error = connectErrorOf(
      new DarkroomError('FIELD_INVALID', 'x', {
        metadata: { expected_offset: '42' },
        fieldViolations: [{ field: 'image.name', description: 'must not be empty' }],
        retryDelayMs: 1500,
      }),
    );
    expect(error.findDetails(ErrorInfoSchema)).toMatchObject([
      { reason: 'FIELD_INVALID', domain: 'darkroom', metadata: { expected_offset: '42' } },
    ]);
    expect(error.findDetails(BadRequestSchema)).toMatchObject([
      { fieldViolations: [{ field: 'image.name', description: 'must not be empty' }] },
    ]);
    expect(error.findDetails(RetryInfoSchema)).toMatchObject([
      { retryDelay: { seconds: 1n, nanos: 500_000_000 } },
    ]);
  });

  it('stays under 4 KiB of details, whatever is in it', () => {
    const violation = { field: 'f'.repeat(1000), description: '😀'.repeat(1000) };
    const error = connectErrorOf(
      new DarkroomError('FIELD_INVALID', 'ü'.repeat(100_000), {
        metadata: Object.fromEntries(
          Array.from({ length: 100 }, (_, index) => [`key${index}`, 'v'.repeat(5000)]),
        ),
        fieldViolations: Array.from({ length: 100 }, () => violation),
        retryDelayMs: 1,
      }),
    );
    expect(detailBytes(error)).toBeLessThan(4096);
    expect(encodeURIComponent(error.rawMessage).length).toBeLessThanOrEqual(2048);
    expect(reasonOf(error)).toBe('FIELD_INVALID');
    expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations.length).toBeGreaterThan(0);
  });

  it('may hold halves of characters', () => {
    const error = connectErrorOf(
      new DarkroomError('INTERNAL', '\ud83d', { metadata: { name: '\ud83d' } }),
    );
    expect(error.rawMessage).toBe('\\ud83d');
    expect(detailBytes(error)).toBeGreaterThan(0);
  });
});

describe('what is not a domain error', () => {
  it.each([
    withCode('connect ECONNREFUSED 127.0.0.1:5432', 'ECONNREFUSED'),
    withCode('terminating connection due to administrator command', '57P01'),
    withCode('sorry, too many clients already', '53300'),
    withCode('connection failure', '08006'),
    new Error('Connection terminated unexpectedly'),
    new Error('timeout exceeded when trying to connect'),
    new DriverException(withCode('the database system is starting up', '57P03')),
    new Error('select failed', { cause: withCode('read ECONNRESET', 'ECONNRESET') }),
  ])('is DATABASE_UNAVAILABLE if it says so: $message', (error) => {
    const answer = answerTo(error, call);
    expect([answer.code, reasonOf(answer)]).toEqual([Code.Unavailable, 'DATABASE_UNAVAILABLE']);
    expect(answer.rawMessage).not.toContain('5432');
    expect(answer.findDetails(RetryInfoSchema)).toMatchObject([{ retryDelay: { seconds: 1n } }]);
    expect(answer.cause).toMatchObject({ cause: error });
  });

  it.each([
    new TypeError('secret'),
    new AssertionError({ message: 'secret' }),
    new DriverException(withCode('secret', '23505')),
    new ConnectError('secret'),
    'secret',
    undefined,
    null,
  ])('is INTERNAL, with the id of the request and nothing else: %s', (error) => {
    const answer = answerTo(error, call);
    expect([answer.code, reasonOf(answer)]).toEqual([Code.Internal, 'INTERNAL']);
    expect(answer.rawMessage).toMatch(/request id r1$/);
    expect(answer.rawMessage).not.toContain('secret');
  });

  it.each([
    [new DOMException('x', 'AbortError'), Code.Canceled],
    [new DOMException('x', 'TimeoutError'), Code.DeadlineExceeded],
    [withCode('canceling statement due to user request', '57014'), Code.Canceled],
  ])('is the end of the call if it is an abort: %s', (error, code) => {
    expect(answerTo(error, call).code).toBe(code);
  });

  it('is the end of the call that its signal tells of', () => {
    const late = new ConnectError('late', Code.DeadlineExceeded);
    const signal = AbortSignal.abort(late);
    for (const error of [late, new DOMException('x', 'AbortError')]) {
      expect(answerTo(error, { ...call, signal }).code).toBe(Code.DeadlineExceeded);
    }
    expect(answerTo(new TypeError('x'), { ...call, signal }).code).toBe(Code.Internal);
  });
});

describe('the interceptor', () => {
  async function failing(): Promise<FakeServer> {
    return startFakeServer({
      images: {
        getImage() {
          throw new TypeError('secret of unary');
        },
        async uploadImage(frames) {
          for await (const _ of frames) {
            throw new TypeError('secret of upload');
          }
          return {};
        },
      },
      tasks: {
        async *watchTask() {
          yield {};
          throw new TypeError('secret of watch');
        },
      },
    });
  }

  it('covers unary calls and streams, and logs all that was thrown', async () => {
    const server = await failing();
    const transport = transportOf(server.url, { protocol: 'grpc', httpVersion: '2' });
    const images = createClient(ImageService, transport);
    const headers = { 'x-request-id': 'r7' };
    const calls = [
      images.getImage({}, { headers }),
      images.uploadImage(
        (async function* () {
          yield {};
        })(),
        { headers },
      ),
      (async () => {
        for await (const _ of createClient(TaskService, transport).watchTask({}, { headers })) {
          // One message, then the error.
        }
      })(),
    ];
    for (const result of await Promise.allSettled(calls)) {
      expect(result).toMatchObject({
        status: 'rejected',
        reason: {
          code: Code.Internal,
          rawMessage: expect.stringMatching(/request id r7$/) as unknown,
        },
      });
    }
    await expect.poll(() => server.log.filter(({ level }) => level === 50).length).toBe(3);
    const logged = JSON.stringify(server.log);
    expect(logged).toMatch(/secret of unary/);
    expect(logged).toMatch(/secret of upload/);
    expect(logged).toMatch(/secret of watch/);
    expect(logged).toMatch(/error-mapping\.test\.ts/);
  });

  it('answers DEADLINE_EXCEEDED, whatever the handler throws when its signal fires', async () => {
    const server = await startFakeServer({
      images: {
        async getImage(_, context: HandlerContext) {
          await untilAborted(context);
          throw new DOMException('x', 'AbortError');
        },
      },
    });
    expect(await getImage(server, '30m')).toMatchObject({ code: grpc.status.DEADLINE_EXCEEDED });
  });

  it.each(['99999999H', '31536000S', '2147483648m'])(
    'has time for the timeout %s',
    async (timeout) => {
      const server = await startFakeServer({
        images: {
          async getImage(_, context: HandlerContext) {
            await setTimeout(5);
            context.signal.throwIfAborted();
            return {};
          },
        },
      });
      expect(await getImage(server, timeout)).toBeNull();
    },
  );

  /** Only the server is told of the timeout, so that it is the one that answers. */
  async function getImage(server: FakeServer, timeout: string): Promise<grpc.ServiceError | null> {
    const client = new grpc.Client(server.url.slice(7), grpc.credentials.createInsecure());
    onTestFinished(() => client.close());
    const metadata = new grpc.Metadata();
    metadata.set('grpc-timeout', timeout);
    return new Promise((resolve) => {
      client.makeUnaryRequest(
        '/darkroom.v1.ImageService/GetImage',
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        Buffer.alloc(0),
        metadata,
        resolve,
      );
    });
  }
});
