import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import type { CommandContext } from '../command-context.ts';
import { tableLines, type Column } from '../output/table.ts';
import { checkedToken, endpointOf, noSuchProfile } from '../profiles/connection.ts';
import {
  profilesPath,
  readProfiles,
  writeProfiles,
  type Profile,
} from '../profiles/profile-file.ts';
import { UsageError } from '../usage-error.ts';

/** What `darkroom profile add` may be told. */
export interface AddProfileOptions {
  readonly endpoint: string;
  readonly tokenFile?: string;
  readonly tokenStdin?: boolean;
  readonly project?: string;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
}

/** Adds a profile, or replaces one; the first one is used from then on. No token is taken from the arguments, which others can see. */
export async function addProfile(
  context: CommandContext,
  name: string,
  options: AddProfileOptions,
): Promise<void> {
  if (!/^[\w.@-]{1,64}$/.test(name)) {
    throw new UsageError('the name of a profile is 1 to 64 letters, digits and . _ - @');
  }
  const { tokenFile, tokenStdin, project, caFile, certFile, keyFile } = options;
  if (tokenFile !== undefined && tokenStdin === true) {
    throw new UsageError('give --token-file or --token-stdin, and not both');
  }
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new UsageError('--cert-file and --key-file go together');
  }
  const token =
    tokenStdin === true
      ? checkedToken('the standard input', await textOf(context.input))
      : undefined;
  const files = { tokenFile, caFile, certFile, keyFile };
  const paths = Object.entries(files).flatMap(([key, path]) =>
    path === undefined ? [] : [[key, readable(path)] as const],
  );
  const profile: Profile = {
    endpoint: endpointOf('--endpoint', options.endpoint),
    ...(token === undefined ? {} : { token }),
    ...(project === undefined ? {} : { project }),
    ...Object.fromEntries(paths),
  };
  const path = profilesPath(context.environment);
  const { profiles, current = name } = readProfiles(path);
  writeProfiles(path, { current, profiles: { ...profiles, [name]: profile } });
  context.out.line(
    current === name
      ? `Commands call ${profile.endpoint} from now on, by the profile ${name}.`
      : `Added ${name}. Commands still use ${current}: darkroom profile use ${name}`,
  );
}

/** The path that holds wherever a command is given. @throws UsageError */
function readable(path: string): string {
  try {
    readFileSync(path);
  } catch (error) {
    throw new UsageError(`${path} cannot be read: ${(error as Error).message}`);
  }
  return resolve(path);
}

/** Tells the profiles, and nothing that could be used. */
export function listProfiles(
  { out, notes, environment }: CommandContext,
  options: { readonly json?: boolean },
): void {
  const { profiles, current } = readProfiles(profilesPath(environment));
  const rows = Object.entries(profiles).map(([name, profile]) => ({
    name,
    isCurrent: name === current,
    hasToken: profile.token !== undefined,
    endpoint: profile.endpoint,
    tokenFile: profile.tokenFile,
    project: profile.project,
    caFile: profile.caFile,
    certFile: profile.certFile,
    keyFile: profile.keyFile,
  }));
  if (options.json === true) {
    out.line(JSON.stringify(rows, undefined, 2));
    return;
  }
  if (rows.length === 0) {
    notes.line('There are no profiles: darkroom profile add makes one.');
    return;
  }
  const columns: Column<(typeof rows)[number]>[] = [
    { title: '', cell: ({ isCurrent }) => (isCurrent ? '*' : '') },
    { title: 'NAME', cell: ({ name }) => name },
    { title: 'ENDPOINT', cell: ({ endpoint }) => endpoint },
    {
      title: 'TOKEN',
      cell: ({ hasToken, tokenFile }) => (hasToken ? 'kept here' : (tokenFile ?? '-')),
    },
    { title: 'PROJECT', cell: ({ project }) => project ?? '-' },
  ];
  tableLines(columns, rows, out).forEach((line) => out.line(line));
}

/** Has commands use a profile from then on. */
export function useProfile({ out, environment }: CommandContext, name: string): void {
  const path = profilesPath(environment);
  const { profiles } = readProfiles(path);
  const profile = profiles[name];
  if (profile === undefined) {
    throw new UsageError(noSuchProfile(name, Object.keys(profiles)));
  }
  writeProfiles(path, { current: name, profiles });
  out.line(`Commands call ${profile.endpoint} from now on, by the profile ${name}.`);
}

/** Forgets a profile, and its token. */
export function removeProfile({ out, environment }: CommandContext, name: string): void {
  const path = profilesPath(environment);
  const { profiles, current } = readProfiles(path);
  if (profiles[name] === undefined) {
    throw new UsageError(noSuchProfile(name, Object.keys(profiles)));
  }
  const { [name]: _, ...rest } = profiles;
  writeProfiles(path, {
    profiles: rest,
    ...(current === undefined || current === name ? {} : { current }),
  });
  out.line(
    current === name
      ? `Removed ${name}, which was in use: darkroom profile use chooses another one.`
      : `Removed ${name}.`,
  );
}
