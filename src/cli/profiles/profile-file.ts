import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CommandFailure } from '../command-failure.ts';
import type { Environment } from '../environment.ts';
import { exitCodes } from '../exit-codes.ts';
import { writePrivateFile } from './private-file.ts';
import { configFolder } from './user-folders.ts';

/** A service, and as whom it is called. */
export interface Profile {
  readonly endpoint: string;
  readonly token?: string;
  /** Read anew by each command. */
  readonly tokenFile?: string;
  readonly project?: string;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
}

/** What is in the file. */
export interface Profiles {
  /** Which one holds where none is named. */
  readonly current?: string;
  readonly profiles: Readonly<Record<string, Profile>>;
}

/** Where a user's profiles are kept. */
export function profilesPath(environment: Environment): string {
  return join(configFolder(environment), 'profiles.json');
}

/** The profiles of a user; none where there is no file. @throws CommandFailure for a file that cannot be used */
export function readProfiles(path: string): Profiles {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return { profiles: {} };
    }
    throw unusable(path, (error as Error).message);
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw unusable(path, 'it is not JSON');
  }
  if (!isProfiles(content)) {
    throw unusable(path, 'it has no profiles in it, or some that lack their endpoint');
  }
  return content;
}

/** Replaces the file in one step; only its owner may read it. @throws CommandFailure */
export function writeProfiles(path: string, profiles: Profiles): void {
  try {
    writePrivateFile(path, `${JSON.stringify(profiles, undefined, 2)}\n`);
  } catch (error) {
    throw unusable(path, (error as Error).message);
  }
}

/** Whether others on this machine may read a file with tokens. */
export function isReadByOthers(path: string): boolean {
  try {
    return process.platform !== 'win32' && (statSync(path).mode & 0o077) !== 0;
  } catch {
    return false;
  }
}

function unusable(path: string, why: string): CommandFailure {
  return new CommandFailure(
    exitCodes.usage,
    `the profiles in ${path} cannot be used: ${why}. Mend the file, or remove it and add them again.`,
  );
}

const texts = ['token', 'tokenFile', 'project', 'caFile', 'certFile', 'keyFile'];

function isProfiles(content: unknown): content is Profiles {
  return (
    isRecord(content) &&
    (content['current'] === undefined || typeof content['current'] === 'string') &&
    isRecord(content['profiles']) &&
    Object.values(content['profiles']).every(
      (profile) =>
        isRecord(profile) &&
        typeof profile['endpoint'] === 'string' &&
        texts.every((key) => profile[key] === undefined || typeof profile[key] === 'string'),
    )
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
