import { z } from 'zod';
import { isAddressBlock } from '../domain/address-blocks.ts';
import { isHostPattern } from '../domain/host-name.ts';
import { list, setting, wholeNumber } from './setting-spec.ts';

const day = 24 * 3600 * 1000;
const allowedHosts =
  'a list of hosts such as images.example.com or *.example.com, separated by commas';

/** The settings of imports. Times are in ms. */
export const importSettingSpecs = {
  maxImports: wholeNumber(
    'DARKROOM_MAX_IMPORTS',
    4,
    [0, 1000],
    'imports',
    'Largest number of imports that this process fetches at the same time; 0 leaves them to others.',
  ),
  maxImportsPerProject: wholeNumber(
    'DARKROOM_MAX_IMPORTS_PER_PROJECT',
    4,
    [1, 1000],
    'imports',
    'Largest number of imports of one project that are fetched at the same time, over all processes.',
  ),
  importMaxTries: wholeNumber(
    'DARKROOM_IMPORT_MAX_TRIES',
    8,
    [1, 1000],
    'tries',
    'How often an import is tried before it fails, where trying again can help.',
  ),
  importBackoffMs: wholeNumber(
    'DARKROOM_IMPORT_BACKOFF_MS',
    1000,
    [1, 3_600_000],
    'ms',
    'How long an import waits after its first failed try; twice as long after each further one, and spread by half.',
  ),
  importMaxBackoffMs: wholeNumber(
    'DARKROOM_IMPORT_MAX_BACKOFF_MS',
    60_000,
    [1, day],
    'ms',
    'How long an import waits at most between two tries, unless its source asks for more.',
  ),
  importConnectTimeoutMs: wholeNumber(
    'DARKROOM_IMPORT_CONNECT_TIMEOUT_MS',
    10_000,
    [10, 3_600_000],
    'ms',
    'How long resolving the name of a source, connecting and TLS may take.',
  ),
  importResponseTimeoutMs: wholeNumber(
    'DARKROOM_IMPORT_RESPONSE_TIMEOUT_MS',
    30_000,
    [10, 3_600_000],
    'ms',
    'How long a source may take to answer.',
  ),
  importStallTimeoutMs: wholeNumber(
    'DARKROOM_IMPORT_STALL_TIMEOUT_MS',
    30_000,
    [10, 3_600_000],
    'ms',
    'A source from which no byte comes for so long is given up for this try.',
  ),
  importMaxRedirects: wholeNumber(
    'DARKROOM_IMPORT_MAX_REDIRECTS',
    5,
    [0, 20],
    'redirects',
    'How many redirects of a source are followed.',
  ),
  importSchemes: list(
    'DARKROOM_IMPORT_SCHEMES',
    'http,https',
    (scheme) => ['http', 'https'].includes(scheme),
    'http, https, or both separated by a comma',
    'Schemes of the addresses from which images may be imported.',
  ),
  importPorts: setting<readonly number[] | undefined>({
    env: 'DARKROOM_IMPORT_PORTS',
    schema: z
      .string()
      .transform((value) =>
        value.trim() === '*'
          ? undefined
          : value.split(',').map((port) => Number(port.trim() || NaN)),
      )
      .refine(
        (ports) =>
          ports?.every((port) => Number.isInteger(port) && port > 0 && port < 65_536) ?? true,
      ),
    default: '80,443',
    allowed: 'a list of ports separated by commas, or * for all',
    description: 'Ports of the hosts from which images may be imported.',
  }),
  importHosts: list(
    'DARKROOM_IMPORT_HOSTS',
    '',
    isHostPattern,
    allowedHosts,
    'Hosts from which images may be imported; all if none is set.',
  ),
  importRefusedHosts: list(
    'DARKROOM_IMPORT_REFUSED_HOSTS',
    '',
    isHostPattern,
    allowedHosts,
    'Hosts from which no image may be imported.',
  ),
  importSpecialAddresses: list(
    'DARKROOM_IMPORT_SPECIAL_ADDRESSES',
    '',
    isAddressBlock,
    'a list of addresses and blocks such as 10.20.0.0/16, separated by commas',
    'Addresses that imports may reach though they are loopback, private, link-local or otherwise special.',
  ),
} as const;
