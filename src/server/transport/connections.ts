import type { Socket } from 'node:net';
import { OpenRequests, type ReachedRequestLimit } from './open-requests.ts';
import { PeerConduct } from './peer-conduct.ts';
import { peerGroup } from './peer-group.ts';

/** How many connections and open requests there may be, and how long connections may be without a request. */
export interface ConnectionLimits {
  readonly maxConnections: number;
  /** Of one address, or of one /64 of IPv6. */
  readonly maxConnectionsPerPeer: number;
  readonly maxOpenRequests: number;
  readonly maxOpenRequestsPerPeer: number;
  /** How long the head of a request may take, or the beginning of a connection of HTTP/2, in ms. */
  readonly headTimeoutMs: number;
  /** How long a connection may be without a request, in ms. */
  readonly idleTimeoutMs: number;
  /** After a flood of a peer, how far apart its next connections are served, in ms; 0 forgives it. */
  readonly floodPauseMs: number;
}

/** Which of the limits keeps a connection out. */
export type ReachedLimit = 'maxConnections' | 'maxConnectionsPerPeer' | 'floodPauseMs';

/** One connection, as the server of its protocol tells of it. */
export interface Connection {
  /** The same for all connections of one peer. */
  readonly peer: object;
  /**
   * Has a connection without a request end after so long, beginning now, in ms.
   *
   * @param end ends it in the words of its protocol; also called when others need its place. Must end the socket, too.
   */
  mayRest(forMs: number, end: () => void): void;
  /**
   * A request has begun: the connection stays, however long that takes. Tells which limit keeps it out, if one does: then it
   * counts as none, and has to be refused.
   */
  requestBegan(): ReachedRequestLimit | undefined;
  /**
   * A request has ended that was let begin: the connection may rest again, if no other is open.
   *
   * @param isAnswered whether the client had its whole answer.
   */
  requestEnded(isAnswered: boolean): void;
  /**
   * The connection is ended for what its client sent. Its peer's next ones wait, and those on which nothing was answered
   * yet, and nothing is asked, end: they may bring the same.
   */
  flooded(): void;
}

/**
 * The connections of a port: at most so many in all, and of one peer. Where one more comes, the one that has been
 * without a request for longest makes room, so that those who only hold connections never keep out those who use them.
 * One that has a request open is never ended for its silence: it may be a watch, or an upload over a slow line.
 */
export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #timer: NodeJS.Timeout;
  readonly #lookMs: number;
  #lookedAt = performance.now();
  /** Whether the last look was late, and left everybody another one. */
  #waitsForReads = false;
  readonly #peers = new Map<string, Peer>();
  /** Those without a request, the longest such first. */
  readonly #resting = new Set<Entry>();
  readonly #waiting = new Set<Socket>();
  readonly #requests: OpenRequests;
  #size = 0;

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
    this.#requests = new OpenRequests(limits.maxOpenRequests);
    const shorter = Math.min(limits.headTimeoutMs, limits.idleTimeoutMs);
    this.#lookMs = shorter / looksPerTimeout;
    this.#timer = setInterval(() => this.#endOverdue(), this.#lookMs).unref();
  }

  /** How many there are. */
  get size(): number {
    return this.#size;
  }

  /**
   * Takes a connection until it closes; or tells which limit keeps it out.
   *
   * @param serve given the connection when its turn is there: nearly always at once.
   */
  admit(socket: Socket, serve: (connection: Connection) => void): ReachedLimit | undefined {
    const { maxConnections, maxConnectionsPerPeer, headTimeoutMs } = this.#limits;
    const group = peerGroup(socket.remoteAddress ?? '');
    const peer = this.#peers.get(group) ?? new Peer(this.#limits);
    if (peer.size >= maxConnectionsPerPeer && !endLongest(peer.resting)) {
      return 'maxConnectionsPerPeer';
    }
    if (this.#size >= maxConnections && !endLongest(this.#resting)) {
      return 'maxConnections';
    }
    const waitMs = peer.conduct.takeTurn(performance.now());
    if (waitMs === 'tooManyWait') {
      return 'floodPauseMs';
    }
    this.#peers.set(group, peer);
    peer.size += 1;
    this.#size += 1;
    const leave = (): void => {
      peer.size -= 1;
      this.#size -= 1;
      this.#forgetIfGone(group, peer);
    };
    const flooded = (flooder: Entry): void => {
      // Node may tell of it when the connection, maybe the peer's last, has left already.
      const known = this.#peers.get(group) ?? peer;
      this.#peers.set(group, known);
      known.floodedBy(flooder);
    };
    const entry = new Entry(peer, this.#resting, this.#requests, { leave, flooded });
    socket.once('close', () => entry.leave());
    entry.mayRest(waitMs + headTimeoutMs, () => socket.destroy());
    if (waitMs === 0) {
      entry.isServed = true;
      serve(entry);
    } else {
      this.#serveAfter(waitMs, socket, entry, serve);
    }
    return undefined;
  }

  /** Ends those that wait for their turn. */
  endWaiting(): void {
    for (const socket of this.#waiting) {
      socket.destroy();
    }
  }

  /** Stops looking for those that have rested for too long. */
  stop(): void {
    clearInterval(this.#timer);
  }

  #serveAfter(
    waitMs: number,
    socket: Socket,
    entry: Entry,
    serve: (connection: Connection) => void,
  ): void {
    this.#waiting.add(socket);
    const timer = setTimeout(() => {
      this.#waiting.delete(socket);
      entry.isServed = true;
      serve(entry);
    }, waitMs);
    socket.once('close', () => {
      clearTimeout(timer);
      this.#waiting.delete(socket);
    });
  }

  #forgetIfGone(group: string, peer: Peer): void {
    if (peer.size === 0 && peer.conduct.isTrusted(performance.now())) {
      this.#peers.delete(group);
    }
  }

  #endOverdue(): void {
    const now = performance.now();
    const isLate = now - this.#lookedAt > 2 * this.#lookMs;
    this.#lookedAt = now;
    // Where the event loop was held up, what has come meanwhile is read first.
    this.#waitsForReads = isLate && !this.#waitsForReads;
    if (this.#waitsForReads) {
      return;
    }
    for (const [group, peer] of this.#peers) {
      this.#forgetIfGone(group, peer);
    }
    for (const entry of this.#resting) {
      if (now >= entry.restsUntil) {
        entry.end();
      }
    }
  }
}

/** How often connections that have rested for too long are looked for, in parts of the shorter timeout. */
const looksPerTimeout = 4;

class Peer {
  size = 0;
  readonly resting = new Set<Entry>();
  readonly conduct: PeerConduct;
  readonly requests: OpenRequests;

  constructor({ floodPauseMs, maxOpenRequestsPerPeer }: ConnectionLimits) {
    this.conduct = new PeerConduct(floodPauseMs);
    this.requests = new OpenRequests(maxOpenRequestsPerPeer);
  }

  floodedBy(flooder: Entry): void {
    const now = performance.now();
    this.conduct.flooded(now);
    if (this.conduct.isTrusted(now)) {
      return;
    }
    for (const entry of this.resting) {
      if (entry !== flooder && entry.isServed && !entry.hasAnswered) {
        entry.end();
      }
    }
  }
}

/** What the others have to know of a connection. */
interface EntryListener {
  leave(): void;
  flooded(flooder: Entry): void;
}

class Entry implements Connection {
  readonly peer: Peer;
  readonly #resting: readonly Set<Entry>[];
  readonly #allRequests: OpenRequests;
  readonly #told: EntryListener;
  /** Whether it does not wait for its turn any more. */
  isServed = false;
  /** Whether a request on it had its whole answer. */
  hasAnswered = false;
  #requests = 0;
  #restMs = 0;
  #end: () => void = () => {};
  #hasLeft = false;
  restsUntil = 0;

  constructor(peer: Peer, resting: Set<Entry>, allRequests: OpenRequests, told: EntryListener) {
    this.peer = peer;
    this.#allRequests = allRequests;
    this.#resting = [resting, peer.resting];
    this.#told = told;
  }

  mayRest(forMs: number, end: () => void): void {
    this.#restMs = forMs;
    this.#end = end;
    this.#rest();
  }

  requestBegan(): ReachedRequestLimit | undefined {
    if (this.peer.requests.isFull) {
      return 'maxOpenRequestsPerPeer';
    }
    if (this.#allRequests.isFull) {
      return 'maxOpenRequests';
    }
    this.peer.requests.began();
    this.#allRequests.began();
    this.#requests += 1;
    this.#wake();
    return undefined;
  }

  requestEnded(isAnswered: boolean): void {
    this.hasAnswered ||= isAnswered;
    this.peer.requests.ended();
    this.#allRequests.ended();
    this.#requests -= 1;
    this.#rest();
  }

  flooded(): void {
    this.#told.flooded(this);
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
      this.#told.leave();
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
