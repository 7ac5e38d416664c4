import { Code, ConnectError } from '@connectrpc/connect';
import { expect } from 'vitest';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from '../../gen/google/rpc/error_details_pb.ts';

/** What a failed call says, whatever protocol it came over. */
export interface Failure {
  readonly code: keyof typeof Code;
  readonly reason: string | undefined;
  /** The fields that are named as wrong. */
  readonly fields: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  /** Whether it says when to try again. */
  readonly hasRetryInfo: boolean;
  readonly message: string;
}

/** What a call fails with; a call that succeeds fails the test. */
export async function failureOf(call: Promise<unknown>): Promise<Failure> {
  const error = await call.then(
    () => expect.unreachable('the call should have failed'),
    (failure: unknown) => ConnectError.from(failure),
  );
  const [info] = error.findDetails(ErrorInfoSchema);
  if (info) {
    expect(info.domain).toBe('darkroom');
  }
  const [badRequest] = error.findDetails(BadRequestSchema);
  return {
    code: Code[error.code] as keyof typeof Code,
    reason: info?.reason,
    fields: badRequest?.fieldViolations.map(({ field }) => field) ?? [],
    metadata: info?.metadata ?? {},
    hasRetryInfo: error.findDetails(RetryInfoSchema).length > 0,
    message: error.rawMessage,
  };
}

/** Reads a server stream to its end. */
export async function readAll<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const messages: T[] = [];
  for await (const message of stream) {
    messages.push(message);
  }
  return messages;
}
