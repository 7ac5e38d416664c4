import { defaultCaller, type Caller } from '../../access/caller.ts';
import type { NodeRequest } from './node-http.ts';

/**
 * Who makes a request: the one place where a request becomes a caller. There is no authentication yet, so
 * everybody who reaches the port is the same.
 */
export function authenticate(_request: NodeRequest): Caller {
  return defaultCaller;
}
