import { callFloods } from './floods/calls.ts';
import type { Flood } from './floods/flood.ts';
import { frameFloods } from './floods/frames.ts';
import { handshakeFloods } from './floods/handshakes.ts';
import { messageFloods } from './floods/messages.ts';

/** The name of a flood. */
export type FloodName = string;

/** Those that need TLS. */
export const tlsFloodNames: readonly FloodName[] = Object.keys(handshakeFloods);

/** All others. */
export const floodNames: readonly FloodName[] = Object.keys({
  ...callFloods,
  ...frameFloods,
  ...messageFloods,
});

/** Everything of which a client may send more than it should. */
export const floods: Readonly<Record<FloodName, Flood>> = {
  ...callFloods,
  ...frameFloods,
  ...messageFloods,
  ...handshakeFloods,
};
