import { isIP } from 'node:net';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import { hostOf, matchesHost } from '../../domain/host-name.ts';
import { quoted } from '../../domain/quoted.ts';
import type { NodeRequest } from '../transport/node-http.ts';

/** By which names the service may be called, as it is set. */
export interface HostSettings {
  /** What is listened on: a name of it is one of the service's. */
  readonly host: string;
  /** More names, `*.` before one for all below it; `*` for any. */
  readonly hosts: readonly string[];
}

/**
 * Tells what is wrong with the name by which a request calls the service, in `Host` and in `:authority`; undefined if
 * nothing is.
 *
 * A page may have its own name resolve to this service's address once it is loaded (DNS rebinding), and is then of the
 * same origin to its browser: only the name gives it away. So a name has to be known. An address is always taken,
 * since nobody can rebind one, and so is `localhost` with what is below it, which is nobody's to give away (RFC 6761,
 * section 6.3), and a request that tells no host, which no browser sends.
 *
 * @param certificateNames those for which the service has a certificate: they are its own, too.
 */
export function hostCheck(
  { host, hosts }: HostSettings,
  certificateNames: () => readonly string[] = () => [],
): (request: NodeRequest) => DarkroomError | undefined {
  const names = [host, ...hosts, 'localhost', '*.localhost'];

  function isOurs(authority: string | undefined): boolean {
    if (authority === undefined || authority === '') {
      return true;
    }
    const called = calledHost(authority);
    return (
      called !== undefined &&
      (isIP(called) !== 0 ||
        names.some((name) => matchesHost(called, name)) ||
        certificateNames().some((name) => matchesHost(called, name)))
    );
  }

  if (hosts.includes('*')) {
    return () => undefined;
  }
  return ({ headers }) => {
    const wrong = [headers[':authority'], headers.host].find((one) => !isOurs(textOf(one)));
    return wrong === undefined
      ? undefined
      : new DarkroomError(
          'HOST_NOT_ALLOWED',
          `the service is not known by the name ${quoted(textOf(wrong) ?? '')}: call it by its IP address, or have ` +
            'its operator add the name to DARKROOM_HOSTS',
        );
  };
}

/** The host of `host:port`, without the port; undefined if there is more to it, or if it is none. */
function calledHost(authority: string): string | undefined {
  const url = /[\s\\/?#@\p{Cc}]/u.test(authority) ? null : URL.parse(`http://${authority}`);
  return url === null ? undefined : hostOf(url);
}

function textOf(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header.join(', ') : header;
}
