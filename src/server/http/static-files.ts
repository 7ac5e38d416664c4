import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { weakEtag } from './conditional-get.ts';

/** Says in the folder of a site which build is the last one, and what is in it. */
export const staticRecord = 'build.json';

/** What that record says. */
export interface StaticRecord {
  /** Of the last build, in the folder of the site. */
  readonly folder: string;
  /** Its files, relative to that folder. */
  readonly files: readonly string[];
  /** Each file that it was made of, relative to the checkout, with its size in bytes and its last change in ms. */
  readonly inputs: readonly (readonly [path: string, size: number, mtimeMs: number])[];
}

/** How a file may travel, the shortest first, and how its name ends where it lies so beside the file. */
export const staticEncodings = [
  ['br', '.br'],
  ['gzip', '.gz'],
] as const;

const types: Readonly<Record<string, string>> = {
  css: 'text/css; charset=utf-8',
  html: 'text/html; charset=utf-8',
  ico: 'image/vnd.microsoft.icon',
  js: 'text/javascript; charset=utf-8',
  json: 'application/json',
  png: 'image/png',
  svg: 'image/svg+xml',
  txt: 'text/plain; charset=utf-8',
  woff2: 'font/woff2',
};

/** A file of a site, in memory. */
export interface StaticFile {
  readonly type: string;
  readonly etag: string;
  readonly plain: Buffer;
  /** The same, compressed, where that is shorter. */
  readonly packed: ReadonlyMap<string, Buffer>;
}

type Files = ReadonlyMap<string, StaticFile>;

/**
 * The files of the last build of a site, as `build/static-build.ts` leaves it: read when they are first asked for, and again
 * after another build. Only what the record names is ever read, whatever is asked for.
 */
export class StaticFiles {
  readonly #folder: string;
  #read: { readonly stamp: string; readonly files: Promise<Files> } | undefined;

  /** @param folder of the site. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** One of them, by its path in the build; undefined where there is none, or no build. */
  async find(path: string): Promise<StaticFile | undefined> {
    const stamp = await this.#stamp();
    if (stamp === undefined) {
      return undefined;
    }
    if (this.#read?.stamp !== stamp) {
      this.#read = { stamp, files: readBuild(this.#folder) };
    }
    const read = this.#read;
    try {
      return (await read.files).get(path);
    } catch {
      // A build that was replaced while it was read; whoever asks next reads the one that took its place.
      if (this.#read === read) {
        this.#read = undefined;
      }
      return undefined;
    }
  }

  /** Changes with each build. */
  async #stamp(): Promise<string | undefined> {
    try {
      const { mtimeMs, ino, size } = await stat(join(this.#folder, staticRecord));
      return `${mtimeMs} ${ino} ${size}`;
    } catch {
      return undefined;
    }
  }
}

/** @throws what the file system throws; SyntaxError of a record that is torn. */
async function readBuild(folder: string): Promise<Files> {
  const record = JSON.parse(await readFile(join(folder, staticRecord), 'utf8')) as StaticRecord;
  const files = new Map<string, StaticFile>();
  for (const path of record.files) {
    files.set(path, await readOne(join(folder, record.folder, path)));
  }
  return files;
}

async function readOne(path: string): Promise<StaticFile> {
  const plain = await readFile(path);
  const packed = new Map<string, Buffer>();
  for (const [encoding, ending] of staticEncodings) {
    const bytes = await readFile(path + ending).catch(() => undefined);
    if (bytes !== undefined && bytes.length < plain.length) {
      packed.set(encoding, bytes);
    }
  }
  const ending = path.slice(path.lastIndexOf('.') + 1);
  return {
    type: types[ending] ?? 'application/octet-stream',
    etag: weakEtag(createHash('sha256').update(plain).digest('hex').slice(0, 24)),
    plain,
    packed,
  };
}
