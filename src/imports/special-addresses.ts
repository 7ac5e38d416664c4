import { isIPv4, isIPv6 } from 'node:net';
import { addressSet } from '../domain/address-blocks.ts';

/**
 * IANA's special-purpose registries (RFC 6890 and its updates) and multicast: loopback, private, shared,
 * link-local with the clouds' metadata services, documentation, benchmarking, reserved.
 */
const specialIpv4 = [
  '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12',
  '192.0.0.0/24', '192.0.2.0/24', '192.31.196.0/24', '192.52.193.0/24', '192.88.99.0/24',
  '192.168.0.0/16', '192.175.48.0/24', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24',
  '224.0.0.0/4', '240.0.0.0/4',
]; // prettier-ignore

/** Of IPv6 only global unicast is taken at all, and of that not what is special or holds an IPv4 address. */
const globalIpv6 = '2000::/3';
const specialIpv6 = [
  '2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20',
]; // prettier-ignore

const special = addressSet([...specialIpv4, ...specialIpv6]);
const globalUnicast = addressSet([globalIpv6]);

/**
 * Whether an IP address is special: of no host on the public Internet, but of this machine, its network,
 * the cloud's metadata, many at once, or nobody. Addresses of IPv6 that stand for one of IPv4 are special
 * too, whichever it is: nobody needs them but to disguise it.
 */
export function isSpecialAddress(address: string): boolean {
  if (isIPv4(address)) {
    return special.check(address, 'ipv4');
  }
  // What is no address is of nobody.
  return (
    !isIPv6(address) || !globalUnicast.check(address, 'ipv6') || special.check(address, 'ipv6')
  );
}

const mappedIpv4 = addressSet(['::ffff:0:0/96']);

/** Whether an address of IPv6 stands for one of IPv4 (RFC 4291, section 2.5.5.2). */
export function isMappedIpv4(address: string): boolean {
  return isIPv6(address) && mappedIpv4.check(address, 'ipv6');
}
