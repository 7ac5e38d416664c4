import type { Socket } from 'node:net';
import { isHttp2, type NodeRequest } from '../transport/node-http.ts';

/** The end of the last work for each connection. */
const lastTurns = new WeakMap<Socket, Promise<unknown>>();

/**
 * Does the work for a request of HTTP/1.1 when that for earlier requests of its connection is done. A client may
 * send many requests at once, but is answered one after the other: all but the first would read their bytes only
 * to keep them.
 *
 * Must be called as soon as the request is here: one that waits for its connection while it keeps its turn from
 * the request that has the connection would wait for ever. Streams of HTTP/2 do not wait for each other.
 */
export function inTurn(request: NodeRequest, work: () => Promise<void>): Promise<void> {
  if (isHttp2(request)) {
    return work();
  }
  const { socket } = request;
  const turn = (lastTurns.get(socket) ?? Promise.resolve()).then(work);
  const end = turn.catch(() => {});
  lastTurns.set(socket, end);
  return turn;
}
