import { DarkroomError } from '../client/exports.ts';
import type { DarkroomClient } from '../client/exports.ts';
import { createDarkroomClient } from '../client/node.ts';
import type { CommandContext } from './command-context.ts';
import { serviceFailure } from './words/service-failure.ts';
import { connectionOf, type Connection, type ConnectionOptions } from './profiles/connection.ts';

/** How long a call of a person who waits is tried again, in ms: over a restart that is just going on, and not longer. */
const patienceMs = 2000;

/**
 * Calls a service, and ends the connection when the work is done, however it ends.
 *
 * @param work is given the client, and which service it calls.
 * @throws CommandFailure in place of DarkroomErrors, with what to do; UsageError; whatever else the work throws
 */
export async function withClient<T>(
  context: CommandContext,
  options: ConnectionOptions,
  work: (client: DarkroomClient, connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = connectionOf(options, context.environment);
  for (const warning of connection.warnings) {
    context.notes.line(`${context.notes.style.warn('note:')} ${warning}`);
  }
  const { endpoint, token, project, ca, certificate } = connection;
  const client = createDarkroomClient({
    endpoint,
    retry: { giveUpAfterMs: patienceMs },
    ...(token === undefined ? {} : { credential: token }),
    ...(project === undefined ? {} : { project }),
    tls: { ...(ca === undefined ? {} : { ca }), ...certificate },
  });
  try {
    return await work(client, connection);
  } catch (error) {
    // An interruption comes as it is.
    throw error instanceof DarkroomError ? serviceFailure(error, endpoint) : error;
  } finally {
    client.close();
  }
}
