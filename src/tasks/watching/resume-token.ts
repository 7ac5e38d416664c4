import { crc32 } from 'node:zlib';
import { parse, stringify } from 'uuid';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { TaskId } from '../../records/ids.ts';

// version (1 byte), task id (16), revision (8, big-endian), crc32 of all before (4); base64url.
const tokenVersion = 1;
const idEnd = 17;
const revisionEnd = 25;
const tokenBytes = 29;

/**
 * Makes the token that goes on after a revision of a task. It holds all there is to know, so it is good
 * on any process and after any restart.
 */
export function encodeResumeToken(taskId: TaskId, revision: number): string {
  const bytes = Buffer.alloc(tokenBytes);
  bytes[0] = tokenVersion;
  bytes.set(parse(taskId), 1);
  bytes.writeBigUInt64BE(BigInt(revision), idEnd);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, revisionEnd)), revisionEnd);
  return bytes.toString('base64url');
}

/**
 * The revision after which a token goes on. Tokens are not signed: who forges one only begins elsewhere
 * in what the task's watchers are told anyway. The checksum finds tokens that were cut or mixed up.
 *
 * @throws DarkroomError RESUME_TOKEN_INVALID for garbage and for another task's token.
 */
export function decodeResumeToken(token: string, taskId: TaskId): number {
  const bytes = Buffer.from(token.slice(0, 2 * tokenBytes), 'base64url');
  if (
    bytes.length !== tokenBytes ||
    bytes[0] !== tokenVersion ||
    // Node skips what is not base64url; a token that does not come back the same was altered.
    bytes.toString('base64url') !== token ||
    bytes.readUInt32BE(revisionEnd) !== crc32(bytes.subarray(0, revisionEnd))
  ) {
    throw invalidResumeToken('is none that this service gave out');
  }
  const owner = stringify(bytes, 1);
  if (owner !== taskId) {
    throw invalidResumeToken(`belongs to task ${owner}, not ${taskId}`);
  }
  return Number(bytes.readBigUInt64BE(idEnd));
}

/** The error for a token that is of no use; `problem` completes "resume_token …". */
export function invalidResumeToken(problem: string): DarkroomError {
  const advice =
    'send the last one that a watch of this task gave, or none to begin with a snapshot';
  return new DarkroomError('RESUME_TOKEN_INVALID', `resume_token ${problem}: ${advice}.`, {
    fieldViolations: [{ field: 'resume_token', description: `${problem}; ${advice}` }],
  });
}
