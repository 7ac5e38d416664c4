import { isIPv6 } from 'node:net';

/**
 * Whom the connections of an address are counted for: the address, or of IPv6 the /64 it is in, since whoever has one
 * address of it has all. An IPv4 address in IPv6's form counts as itself.
 */
export function peerGroup(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) {
    return mapped;
  }
  if (!isIPv6(address)) {
    return address;
  }
  const [head = '', tail] = address.toLowerCase().split('%', 1)[0]?.split('::') ?? [];
  const parts = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const rest = tail === '' ? 0 : tail.split(':').length;
    parts.push(...Array.from({ length: Math.max(0, 8 - parts.length - rest) }, () => '0'));
    parts.push(...tail.split(':'));
  }
  return `${parts
    .slice(0, 4)
    .map((part) => Number.parseInt(part, 16).toString(16))
    .join(':')}::/64`;
}
