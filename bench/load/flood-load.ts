import { setPriority } from 'node:os';
import { answerCommands } from '../stage/script.ts';
import { floods, type FloodName } from './floods.ts';
import { release, type FloodTarget } from './floods/flood.ts';

/** What the script can be asked. */
export interface FloodLoad {
  /** Floods a service for so many seconds; how often what floods it was done. */
  flood(order: {
    readonly name: FloodName;
    readonly target: FloodTarget;
    readonly seconds: number;
  }): Promise<number>;
  /** Closes what is held. */
  release(order: null): Promise<void>;
}

// Those who flood have machines of their own; here they are not to take the CPU from those who are measured.
setPriority(19);

answerCommands<FloodLoad>({
  async flood({ name, target, seconds }) {
    const end = performance.now() + seconds * 1000;
    return (await floods[name]?.(target, () => performance.now() >= end)) ?? 0;
  },

  release() {
    release();
    return Promise.resolve();
  },
});
