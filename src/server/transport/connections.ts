import type { Socket } from 'node:net';
import { peerGroup } from './peer-group.ts';

/** How many connections there may be, and how long they may be without a request. */
export interface ConnectionLimits {
  readonly maxConnections: number;
  /** Of one address, or of one /64 of IPv6. */
  readonly maxConnectionsPerPeer: number;
  /** How long the head of a request may take, or the beginning of a connection of HTTP/2, in ms. */
  readonly headTimeoutMs: number;
  /** How long a connection may be without a request, in ms. */
  readonly idleTimeoutMs: number;
}

/** Which of the limits keeps a connection out. */
export type ReachedLimit = 'maxConnections' | 'maxConnectionsPerPeer';

/** One connection, as the server of its protocol tells of it. */
export interface Connection {
  /**
   * Has a connection without a request end after so long, beginning now, in ms.
   *
   * @param end ends it in the words of its protocol; also called when others need its place. Must end the socket, too.
   */
  mayRest(forMs: number, end: () => void): void;
  /** A request has begun: the connection stays, however long that takes. */
  requestBegan(): void;
  /** A request has ended: the connection may rest again, if no other is open. */
  requestEnded(): void;
}

/**
 * The connections of a port: at most so many in all, and of one peer. Where one more comes, the one that has been
 * without a request for longest makes room, so that those who only hold connections never keep out those who use them.
 * One that has a request open is never ended for its silence: it may be a watch, or an upload over a slow line.
 */
export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #timer: NodeJS.Timeout;
  readonly #peers = new Map<string, Peer>();
  /** Those without a request, the longest such first. */
  readonly #resting = new Set<Entry>();
  #size = 0;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
    const shorter = Math.min(limits.headTimeoutMs, limits.idleTimeoutMs);
    this.#timer = setInterval(() => this.#endOverdue(), shorter / looksPerTimeout).unref();
  }

  /** How many there are. */
  get size(): number {
    return this.#size;
  }

  /** Takes a connection until it closes; or tells which limit keeps it out, since all that there are have requests. */
  admit(socket: Socket): Connection | ReachedLimit {
    const { maxConnections, maxConnectionsPerPeer, headTimeoutMs } = this.#limits;
    const group = peerGroup(socket.remoteAddress ?? '');
    const peer = this.#peers.get(group) ?? { size: 0, resting: new Set() };
    if (peer.size >= maxConnectionsPerPeer && !endLongest(peer.resting)) {
      return 'maxConnectionsPerPeer';
    }
    if (this.#size >= maxConnections && !endLongest(this.#resting)) {
      return 'maxConnections';
    }
    this.#peers.set(group, peer);
    peer.size += 1;
    this.#size += 1;
    const leave = (): void => {
      peer.size -= 1;
      this.#size -= 1;
      if (peer.size === 0) {
        this.#peers.delete(group);
      }
    };
    const entry = new Entry([this.#resting, peer.resting], leave);
    socket.once('close', () => entry.leave());
    entry.mayRest(headTimeoutMs, () => socket.destroy());
    return entry;
  }

  /** Stops looking for those that have rested for too long. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #endOverdue(): void {
    const now = performance.now();
    for (const entry of this.#resting) {
      if (now >= entry.restsUntil) {
        entry.end();
      }
    }
  }
}

/** How often connections that have rested for too long are looked for, in parts of the shorter timeout. */
const looksPerTimeout = 4;

interface Peer {
  size: number;
  readonly resting: Set<Entry>;
}

class Entry implements Connection {
  readonly #resting: readonly Set<Entry>[];
  readonly #onLeave: () => void;
  #requests = 0;
  #restMs = 0;
  #end: () => void = () => {};
  #hasLeft = false;
  restsUntil = 0;

  constructor(resting: readonly Set<Entry>[], onLeave: () => void) {
    this.#resting = resting;
    this.#onLeave = onLeave;
  }

  mayRest(forMs: number, end: () => void): void {
    this.#restMs = forMs;
    this.#end = end;
    this.#rest();
  }

  requestBegan(): void {
    this.#requests += 1;
    this.#wake();
  }

  requestEnded(): void {
    this.#requests -= 1;
    this.#rest();
  }

  /** Ends the connection, and gives its place away before its socket is closed. */
  end(): void {
    this.leave();
    this.#end();
  }

  leave(): void {
    if (!this.#hasLeft) {
      this.#hasLeft = true;
      this.#wake();
      this.#onLeave();
    }
  }

  #rest(): void {
    if (this.#requests > 0 || this.#hasLeft) {
      return;
    }
    this.#wake();
    this.restsUntil = performance.now() + this.#restMs;
    for (const all of this.#resting) {
      all.add(this);
    }
  }

  #wake(): void {
    for (const all of this.#resting) {
      all.delete(this);
    }
  }
}

function endLongest(resting: ReadonlySet<Entry>): boolean {
  const [longest] = resting;
  longest?.end();
  return longest !== undefined;
}
