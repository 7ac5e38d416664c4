import { BlockList, isIP, isIPv4 } from 'node:net';

/**
 * A set of addresses.
 *
 * @param blocks addresses and blocks of them in CIDR form, each of which `isAddressBlock` takes.
 */
export function addressSet(blocks: readonly string[]): BlockList {
  const set = new BlockList();
  for (const block of blocks) {
    const [address = '', prefix] = block.split('/');
    const family = isIPv4(address) ? 'ipv4' : 'ipv6';
    set.addSubnet(address, Number(prefix ?? (family === 'ipv4' ? 32 : 128)), family);
  }
  return set;
}

/** Whether a text is an address or a block of addresses: `10.1.0.0/16`, `fd00::1`. */
export function isAddressBlock(text: string): boolean {
  const [, address = '', prefix] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const family = isIP(address);
  return family !== 0 && (prefix === undefined || Number(prefix) <= (family === 4 ? 32 : 128));
}
