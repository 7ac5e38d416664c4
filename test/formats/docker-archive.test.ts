import { describe, expect, test } from 'vitest';
import { as, inspectGrowing, inspectPrefix, inspectWhole } from './inspections.ts';
import { packed, tarEnd, tarEntry } from './ova-packages.ts';

const docker = as('RAW', 'DOCKER');

describe("an archive of Docker's", () => {
  const layers = packed([
    ['manifest.json', '[{"Layers": ["a/layer.tar"]}]'],
    ['a/layer.tar', 'layer'],
  ]);

  test('is sound when it is whole', async () => {
    expect(await inspectPrefix(docker, layers, layers.length - 1)).toEqual({
      kind: 'undecided',
      needs: Number.POSITIVE_INFINITY,
    });
    expect(await inspectWhole(docker, layers)).toEqual({ kind: 'sound', virtualSize: undefined });
  });

  test('may have links and devices, as a file system has them', async () => {
    const bytes = Buffer.concat([
      tarEntry('bin', '', { type: '2', linkName: 'usr/bin' }),
      tarEntry('a/layer.tar', '', { type: '2', linkName: '../b/layer.tar' }),
      tarEntry('dev/null', '', { type: '3' }),
      tarEntry('lib/systemd/system/a\\x2db.slice', ''),
      tarEnd,
    ]);
    expect(await inspectWhole(docker, bytes)).toMatchObject({ kind: 'sound' });
  });

  test('is looked at from its beginning, however many entries it has', async () => {
    const many = Array.from({ length: 3000 }, (_, index) => tarEntry(`etc/${index}`));
    const bytes = Buffer.concat([...many, tarEntry('../outside')]);
    expect(await inspectWhole(docker, bytes)).toMatchObject({ kind: 'sound' });
  });

  test.for([
    ['FORMAT_MISMATCH', 'cut short', layers.subarray(0, 1800)],
    ['FORMAT_MISMATCH', 'cut short', layers.subarray(0, 2048)],
    ['FORMAT_MISMATCH', 'damaged tar', Buffer.concat([tarEntry('a'), Buffer.alloc(512, 1)])],
    ['FORMAT_UNSAFE', 'path outside', Buffer.concat([tarEntry('../a'), tarEnd])],
    ['FORMAT_UNSAFE', 'path outside', Buffer.concat([tarEntry('/etc/passwd'), tarEnd])],
  ] as const)('is refused as %s: %s', async ([reason, found, bytes]) => {
    const { inspection } = await inspectGrowing(docker, bytes);
    expect(inspection).toMatchObject({ reason, found });
  });
});
