import type { LookupAddress } from 'node:dns';
import { expect, test } from 'vitest';
import { readSettings } from '../../src/config/settings.ts';
import { ReachPolicy } from '../../src/imports/reach-policy.ts';
import { connectToSource } from '../../src/imports/source-connection.ts';
import { failureOf } from '../support/upload-world.ts';
import { serves, startSource } from './source-server.ts';

const bytes = Buffer.from('an image');

function connect(url: string, addresses: readonly string[], special = '') {
  const lookups: string[] = [];
  const found = addresses.map((address): LookupAddress => ({
    address,
    family: address.includes(':') ? 6 : 4,
  }));
  const connecting = connectToSource(new URL(url), {
    reach: new ReachPolicy(
      readSettings({
        DARKROOM_IMPORT_PORTS: '*',
        ...(special !== '' && { DARKROOM_IMPORT_SPECIAL_ADDRESSES: special }),
      }),
    ),
    timeoutMs: 5000,
    signal: new AbortController().signal,
    lookup: (name, _, callback) => {
      lookups.push(name);
      callback(null, found);
    },
  });
  return { connecting, lookups };
}

test('a name that stands for an address of this machine is not connected to', async () => {
  const source = await startSource(serves(bytes));
  const { connecting } = connect(`http://images.example.com:${source.port}/`, ['127.0.0.1', '::1']);
  expect(await failureOf(connecting)).toMatchObject({ reason: 'SOURCE_FORBIDDEN' });
  expect(await source.connections()).toBe(0);
});

test('nor is one that this machine’s own resolver knows', async () => {
  const source = await startSource(serves(bytes));
  const connecting = connectToSource(new URL(`http://localhost:${source.port}/`), {
    reach: new ReachPolicy(readSettings({ DARKROOM_IMPORT_PORTS: '*' })),
    timeoutMs: 5000,
    signal: new AbortController().signal,
  });
  expect(await failureOf(connecting)).toMatchObject({ reason: 'SOURCE_FORBIDDEN' });
  expect(await source.connections()).toBe(0);
});

test('of a name’s addresses only those that may be reached are tried', async () => {
  const source = await startSource(serves(bytes));
  const url = `http://images.example.com:${source.port}/`;
  const { connecting, lookups } = connect(url, ['10.0.0.1', '127.0.0.1'], '127.0.0.1');
  const socket = await connecting;
  expect(socket.remoteAddress).toBe('127.0.0.1');
  // Once: an answer that changes between two questions finds no second one.
  expect(lookups).toEqual(['images.example.com']);
  socket.destroy();
});

test('an address that got past the resolver is noticed on the socket, before a byte is sent', async () => {
  const source = await startSource(serves(bytes));
  // An address in the URL is never looked up.
  const { connecting, lookups } = connect(`http://127.0.0.1:${source.port}/`, []);
  expect(await failureOf(connecting)).toMatchObject({ reason: 'SOURCE_FORBIDDEN' });
  expect(lookups).toEqual([]);
  expect(source.requests).toEqual([]);
  await expect.poll(() => source.connections()).toBe(0);
});
