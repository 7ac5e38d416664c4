import { isIP, isIPv4, type BlockList } from 'node:net';
import { invalidField } from '../domain/darkroom-error.ts';
import { hostOf, matchesHost } from '../domain/host-name.ts';
import { SourceFailure } from './source-failure.ts';
import { isMappedIpv4, isSpecialAddress } from './special-addresses.ts';
import { addressSet } from '../domain/address-blocks.ts';

/** What imports may reach, as it is set. Hosts are names, `*.` before one stands for all below it, or addresses. */
export interface ReachSettings {
  readonly importSchemes: readonly string[];
  /** Undefined for all. */
  readonly importPorts: readonly number[] | undefined;
  /** Empty for all. */
  readonly importHosts: readonly string[];
  readonly importRefusedHosts: readonly string[];
  /** Special addresses that may be reached all the same, in CIDR form. */
  readonly importSpecialAddresses: readonly string[];
}

const defaultPorts: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 };
const maxUrlLength = 4096;

/**
 * Decides what imports may reach, so that nobody can use the service to look into the network it stands
 * in. A name says little: its addresses are checked when it is resolved, and the connected socket's again.
 */
export class ReachPolicy {
  readonly #settings: ReachSettings;
  readonly #openAddresses: BlockList;

  constructor(settings: ReachSettings) {
    this.#settings = settings;
    this.#openAddresses = addressSet(settings.importSpecialAddresses);
  }

  /**
   * Reads the address that a caller wrote.
   *
   * @throws DarkroomError FIELD_INVALID that names `field`; SOURCE_SCHEME_UNSUPPORTED, SOURCE_FORBIDDEN.
   */
  parse(text: string, field: string): URL {
    if (text.length > maxUrlLength) {
      throw invalidField(field, `must have at most ${maxUrlLength} characters`);
    }
    // A URL parser drops tabs and line breaks, and takes a backslash for a slash.
    const url = /[\s\\\p{Cc}]/u.test(text) ? null : URL.parse(text);
    if (!url) {
      throw invalidField(field, 'must be a URL such as https://images.example.com/debian.qcow2');
    }
    if (url.username !== '' || url.password !== '') {
      throw invalidField(
        field,
        'must not hold a user or a password: send them in copy_from.headers as Authorization',
      );
    }
    this.assertAllowed(url, text);
    return url;
  }

  /**
   * @param text the URL as it was written, which may disguise an address.
   * @throws DarkroomError SOURCE_SCHEME_UNSUPPORTED, SOURCE_FORBIDDEN.
   */
  assertAllowed(url: URL, text: string): void {
    const { importSchemes, importPorts, importHosts, importRefusedHosts } = this.#settings;
    if (!importSchemes.includes(url.protocol.slice(0, -1))) {
      throw new SourceFailure(
        'SOURCE_SCHEME_UNSUPPORTED',
        `The source is at ${url.protocol}, and imports take ${importSchemes.join(' and ')} only.`,
        { mayPass: false },
      );
    }
    const port = url.port === '' ? defaultPorts[url.protocol] : Number(url.port);
    if (importPorts && (port === undefined || !importPorts.includes(port))) {
      throw forbidden(`port ${port}`, `The ports that may be used are ${importPorts.join(', ')}.`);
    }
    const host = hostOf(url);
    const isAllowed = importHosts.length === 0 || importHosts.some((one) => matchesHost(host, one));
    if (!isAllowed || importRefusedHosts.some((one) => matchesHost(host, one))) {
      throw forbidden(`host ${host}`, 'Ask the operator for the hosts that may be reached.');
    }
    if (isIPv4(host) && !isWrittenPlainly(host, text)) {
      throw forbidden(`address ${host} in disguise`, 'Write an address as four decimal numbers.');
    }
    if (isIP(host) !== 0) {
      this.assertAllowedAddress(host);
    }
  }

  /** @throws DarkroomError SOURCE_FORBIDDEN unless the IP address may be reached. */
  assertAllowedAddress(address: string): void {
    if (!this.allowsAddress(address)) {
      throw forbidden(
        `address ${address}`,
        'It is not of the public Internet: loopback, private, link-local or otherwise special.',
      );
    }
  }

  /** Whether the IP address may be reached. */
  allowsAddress(address: string): boolean {
    if (!isSpecialAddress(address)) {
      return true;
    }
    // A set finds a mapped address among those of IPv4, and that is a disguise.
    return (
      isIP(address) !== 0 &&
      !isMappedIpv4(address) &&
      this.#openAddresses.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')
    );
  }
}

/** A URL parser takes 2130706433, 0x7f.1, 017700000001 and ①②⑦.1 for 127.0.0.1, as most of C's do. */
function isWrittenPlainly(address: string, text: string): boolean {
  const [, written] = /^(?:[a-z][a-z0-9+.-]*:)?\/\/(?:[^/?#@]*@)?([^/?#:]*)/i.exec(text) ?? [];
  // A path in a redirect has no host of its own.
  return written === undefined || written === address;
}

function forbidden(what: string, why: string): SourceFailure {
  return new SourceFailure('SOURCE_FORBIDDEN', `Imports may not reach ${what}. ${why}`, {
    mayPass: false,
  });
}
