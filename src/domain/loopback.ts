import { BlockList, isIP } from 'node:net';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/**
 * Whether what is bound to an address, or to `localhost`, is reached from this machine alone. Other names are not looked up,
 * and count as reached from elsewhere. An IPv4 address in IPv6's form counts as itself.
 */
export function isLoopback(host: string): boolean {
  const family = isIP(host);
  if (family === 0) {
    return /^localhost\.?$/i.test(host);
  }
  return loopback.check(host, family === 6 ? 'ipv6' : 'ipv4');
}
