import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readSettings } from '../../src/config/settings.ts';
import { DarkroomError } from '../../src/domain/darkroom-error.ts';
import { ReachPolicy } from '../../src/imports/reach-policy.ts';
import { isSpecialAddress } from '../../src/imports/special-addresses.ts';
import { isAddressBlock } from '../../src/domain/address-blocks.ts';

function policy(env: Readonly<Record<string, string>> = {}): ReachPolicy {
  return new ReachPolicy(readSettings(env));
}

/** The reason for which a policy refuses a URL; undefined if it does not. */
function refusal(url: string, env: Readonly<Record<string, string>> = {}): string | undefined {
  try {
    policy(env).parse(url, 'url');
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(DarkroomError);
    return (error as DarkroomError).reason;
  }
}

describe('of all addresses', () => {
  test.each([
    '8.8.8.8', '1.1.1.1', '172.15.255.255', '172.32.0.0', '100.63.255.255', '100.128.0.0',
    '169.253.255.255', '192.167.255.255', '223.255.255.255', '198.17.255.255',
    '2606:4700::1111', '2a00:1450:4001:81b::200e', '2001:4860:4860::8888',
  ])('%s may be reached', (address) => {
    expect(isSpecialAddress(address)).toBe(false);
  }); // prettier-ignore

  test.each([
    '127.0.0.1', '127.255.255.255', '0.0.0.0', '10.0.0.1', '172.16.0.1', '172.31.255.255',
    '192.168.1.1', '169.254.169.254', '100.64.0.1', '192.0.0.192', '198.18.0.1', '203.0.113.7',
    '224.0.0.1', '239.255.255.255', '255.255.255.255', '240.0.0.1',
    '::', '::1', 'fe80::1', 'fc00::1', 'fd00:ec2::254', 'ff02::1', '2001:db8::1', '2002:7f00:1::',
    '64:ff9b::7f00:1', '::ffff:127.0.0.1', '::ffff:8.8.8.8', '::127.0.0.1', '100::1', '2001::1',
    '3fff::1', 'not an address', '',
  ])('%j may not', (address) => {
    expect(isSpecialAddress(address)).toBe(true);
  }); // prettier-ignore

  test('none of the private blocks may, wherever in it', () => {
    const blocks = [
      [10, 8],
      [127, 8],
      [0, 8],
    ] as const;
    fc.assert(
      fc.property(
        fc.constantFrom(...blocks),
        fc.nat(255),
        fc.nat(255),
        fc.nat(255),
        ([first], b, c, d) => isSpecialAddress(`${first}.${b}.${c}.${d}`),
      ),
    );
  });
});

describe('a URL', () => {
  test.each([
    'https://images.example.com/debian.qcow2',
    'http://images.example.com',
    'http://8.8.8.8/image',
    'http://images.example.com./image?token=x#y',
    'https://[2606:4700::1111]/image',
    'HTTPS://IMAGES.EXAMPLE.COM:443/',
  ])('%s is taken', (url) => {
    expect(refusal(url)).toBeUndefined();
  });

  test.each([
    ['', 'FIELD_INVALID'],
    ['image.qcow2', 'FIELD_INVALID'],
    ['//images.example.com/x', 'FIELD_INVALID'],
    ['http://', 'FIELD_INVALID'],
    ['http://exa mple.com/', 'FIELD_INVALID'],
    ['http://example.com/\n', 'FIELD_INVALID'],
    ['http:\\\\127.0.0.1\\', 'FIELD_INVALID'],
    ['http://ann@example.com/', 'FIELD_INVALID'],
    ['http://ann:secret@example.com/', 'FIELD_INVALID'],
    ['http://:secret@example.com/', 'FIELD_INVALID'],
    [`http://example.com/${'x'.repeat(5000)}`, 'FIELD_INVALID'],
    ['ftp://example.com/x', 'SOURCE_SCHEME_UNSUPPORTED'],
    ['file:///etc/passwd', 'SOURCE_SCHEME_UNSUPPORTED'],
    ['data:text/plain,x', 'SOURCE_SCHEME_UNSUPPORTED'],
    ['gopher://example.com/', 'SOURCE_SCHEME_UNSUPPORTED'],
    ['http://example.com:8080/', 'SOURCE_FORBIDDEN'],
    ['https://example.com:22/', 'SOURCE_FORBIDDEN'],
    ['http://127.0.0.1/', 'SOURCE_FORBIDDEN'],
    ['http://[::1]/', 'SOURCE_FORBIDDEN'],
    ['http://[::ffff:8.8.8.8]/', 'SOURCE_FORBIDDEN'],
    ['http://[::ffff:808:808]/', 'SOURCE_FORBIDDEN'],
    ['http://169.254.169.254/latest/meta-data/', 'SOURCE_FORBIDDEN'],
    ['http://2130706433/', 'SOURCE_FORBIDDEN'],
    ['http://134744072/', 'SOURCE_FORBIDDEN'],
    ['http://0x8080808/', 'SOURCE_FORBIDDEN'],
    ['http://010.8.8.8/', 'SOURCE_FORBIDDEN'],
    ['http://8.8.2056/', 'SOURCE_FORBIDDEN'],
    ['http://8.8.8.8./', 'SOURCE_FORBIDDEN'],
    ['http://%38.8.8.8/', 'SOURCE_FORBIDDEN'],
    ['http://８.8.8.8/', 'SOURCE_FORBIDDEN'],
    ['http://⑧。8。8。8/', 'SOURCE_FORBIDDEN'],
  ])('%j is refused', (url, reason) => {
    expect(refusal(url)).toBe(reason);
  });

  test('may hold any text: nothing but a refusal comes of it', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.webUrl(),
          fc
            .tuple(fc.constantFrom('http://', 'https:', '//', 'http:/'), fc.string())
            .map((parts) => parts.join('')),
        ),
        (text) => void refusal(text),
      ),
      { numRuns: 2000 },
    );
  });
});

describe('the settings', () => {
  test('name the hosts that may be reached, and all below one', () => {
    const env = { DARKROOM_IMPORT_HOSTS: 'mirror.example.com, *.images.example.com' };
    expect(refusal('http://mirror.example.com/', env)).toBeUndefined();
    expect(refusal('http://MIRROR.example.com./', env)).toBeUndefined();
    expect(refusal('http://eu.images.example.com/', env)).toBeUndefined();
    expect(refusal('http://images.example.com/', env)).toBe('SOURCE_FORBIDDEN');
    expect(refusal('http://evilmirror.example.com/', env)).toBe('SOURCE_FORBIDDEN');
    expect(refusal('http://notimages.example.com/', env)).toBe('SOURCE_FORBIDDEN');
    expect(refusal('http://8.8.8.8/', env)).toBe('SOURCE_FORBIDDEN');
  });

  test('name hosts that may not', () => {
    const env = { DARKROOM_IMPORT_REFUSED_HOSTS: '*.internal,8.8.8.8' };
    expect(refusal('http://db.internal/', env)).toBe('SOURCE_FORBIDDEN');
    expect(refusal('http://8.8.8.8/', env)).toBe('SOURCE_FORBIDDEN');
    expect(refusal('http://example.com/', env)).toBeUndefined();
  });

  test('name ports and schemes', () => {
    expect(
      refusal('http://example.com:8080/', { DARKROOM_IMPORT_PORTS: '80, 8080' }),
    ).toBeUndefined();
    expect(refusal('http://example.com:1/', { DARKROOM_IMPORT_PORTS: '*' })).toBeUndefined();
    expect(refusal('http://example.com/', { DARKROOM_IMPORT_SCHEMES: 'https' })).toBe(
      'SOURCE_SCHEME_UNSUPPORTED',
    );
  });

  test('open special addresses, and no more than they say', () => {
    const env = { DARKROOM_IMPORT_SPECIAL_ADDRESSES: '10.20.0.0/16,fd00::/64' };
    expect(refusal('http://10.20.1.1/', env)).toBeUndefined();
    expect(refusal('http://[fd00::7]/', env)).toBeUndefined();
    expect(refusal('http://10.21.1.1/', env)).toBe('SOURCE_FORBIDDEN');
    expect(refusal('http://[::ffff:10.20.1.1]/', env)).toBe('SOURCE_FORBIDDEN');
  });

  test.each(['10.0.0.0/33', '10.0.0/8', 'fd00::/129', 'localhost', '10.0.0.1/', '/8', ''])(
    'take no block such as %j',
    (block) => {
      expect(isAddressBlock(block)).toBe(false);
    },
  );
});
