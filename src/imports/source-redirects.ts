import type { IncomingMessage } from 'node:http';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { ReachPolicy } from './reach-policy.ts';
import { SourceFailure } from './source-failure.ts';
import { nameOfUrl } from './source-name.ts';
import { askSource, type Answer, type RequestOptions } from './source-request.ts';

const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** An answer that is no redirect. */
export interface FinalAnswer {
  readonly answer: Answer;
  /** The name of the address that led to it; undefined if it gave the answer itself. */
  readonly redirectedFrom: string | undefined;
}

/**
 * Asks an address, and goes where it redirects to, each step of which is checked as the first address was.
 *
 * What the first address says itself counts. What one says to which it led is tried again from the first
 * address, which may lead to another then, as those do that share the load among mirrors.
 *
 * @param headers for every address that is asked.
 * @param ownHeaders for the first address; a redirect to another origin does not get them.
 * @throws DarkroomError any of the SOURCE_ reasons; the signal's.
 */
export async function askThroughRedirects(
  first: URL,
  headers: Readonly<Record<string, string>>,
  ownHeaders: Readonly<Record<string, string>>,
  options: RequestOptions & { readonly maxRedirects: number },
): Promise<FinalAnswer> {
  let url = first;
  let hasLeftOrigin = false;
  for (let redirected = 0; ; redirected += 1) {
    const redirectedFrom = redirected > 0 ? nameOfUrl(first) : undefined;
    try {
      const own = url.origin === first.origin ? ownHeaders : {};
      const answer = await askSource(url, { ...own, ...headers }, options);
      const { response } = answer;
      if (!redirects.has(response.statusCode ?? 0)) {
        return { answer, redirectedFrom };
      }
      response.destroy();
      url = redirectTarget(url, response, options.reach);
    } catch (error) {
      throw passingBehind(redirectedFrom, error);
    }
    hasLeftOrigin ||= url.origin !== first.origin;
    if (redirected >= options.maxRedirects) {
      const refusal = redirectRefused(
        `It redirects more than ${options.maxRedirects} times`,
        first,
      );
      // One that goes round by itself will go on so.
      throw passingBehind(hasLeftOrigin ? nameOfUrl(first) : undefined, refusal);
    }
  }
}

/**
 * What went wrong with a source, as one that may pass if another address led to it: the next time that
 * may lead to one that does better. Any other error is left as it is.
 *
 * @param redirectedFrom the name of that address.
 */
export function passingBehind(redirectedFrom: string | undefined, error: unknown): unknown {
  return redirectedFrom !== undefined && error instanceof SourceFailure && !error.mayPass
    ? error.passing(`That is where ${redirectedFrom} led.`)
    : error;
}

function redirectTarget(from: URL, response: IncomingMessage, reach: ReachPolicy): URL {
  const { location } = response.headers;
  const target = location === undefined ? null : URL.parse(location, from.href);
  if (location === undefined || target === null) {
    throw redirectRefused(`Status ${response.statusCode} came without an address to go to`, from);
  }
  if (from.protocol === 'https:' && target.protocol === 'http:') {
    throw redirectRefused(`It redirects from https to ${nameOfUrl(target)}`, from);
  }
  if (target.username !== '' || target.password !== '') {
    throw redirectRefused('It redirects to an address with a user or a password', from);
  }
  try {
    reach.assertAllowed(target, location);
  } catch (error) {
    throw error instanceof DarkroomError
      ? new SourceFailure(error.reason, `${nameOfUrl(from)} redirects. ${error.message}`, {
          mayPass: false,
        })
      : error;
  }
  return target;
}

function redirectRefused(what: string, source: URL): SourceFailure {
  return new SourceFailure(
    'SOURCE_REDIRECT_REFUSED',
    `${what}: ${nameOfUrl(source)}. Import from the address where the image is.`,
    { mayPass: false },
  );
}
