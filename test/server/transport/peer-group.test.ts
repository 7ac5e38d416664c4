import { isIPv6 } from 'node:net';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { peerGroup } from '../../../src/server/transport/peer-group.ts';

/** An address of IPv6, by its eight parts. */
const parts = fc.array(fc.oneof(fc.constant(0), fc.nat({ max: 0xffff })), {
  minLength: 8,
  maxLength: 8,
});

function written(address: readonly number[]): string {
  return address.map((part) => part.toString(16)).join(':');
}

/** The longest form, and the shortest, as Node tells a peer's address. */
function forms(address: readonly number[]): string[] {
  const long = address.map((part) => part.toString(16).toUpperCase().padStart(4, '0')).join(':');
  const short = new URL(`http://[${written(address)}]`).hostname.slice(1, -1);
  return [long, short, `${short}%eth0`];
}

it('is the same for all addresses of a /64 of IPv6, however they are written', () => {
  fc.assert(
    fc.property(parts, parts, (one, other) => {
      const beside = [...one.slice(0, 4), ...other.slice(4)];
      const groups = [...forms(one), ...forms(beside)].filter(isAddress).map(peerGroup);
      expect(new Set(groups).size).toBe(1);
    }),
  );
});

it('is another for addresses of other ones', () => {
  fc.assert(
    fc.property(parts, fc.nat({ max: 3 }), fc.integer({ min: 1, max: 0xffff }), (one, at, by) => {
      const other = one.with(at, one[at]! ^ by);
      expect(peerGroup(written(other))).not.toBe(peerGroup(written(one)));
    }),
  );
});

it('is the address itself of IPv4, also in the form of IPv6', () => {
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      expect(peerGroup(address)).toBe(address);
      expect(peerGroup(`::ffff:${address}`)).toBe(address);
    }),
  );
});

function isAddress(text: string): boolean {
  return isIPv6(text.split('%', 1)[0] ?? '');
}
