import type { Socket } from 'node:net';
import { Allowance } from './allowance.ts';
import { peerGroup } from './peer-group.ts';

/** How fast handshakes of TLS are begun. */
export interface HandshakeLimits {
  /** Of one peer, in a second, after as many at once. */
  readonly handshakesPerPeer: number;
  /** Of the time of the event loop, in percent. */
  readonly handshakeShare: number;
}

/** How long is waited for one more of a peer that has used up what it may, and how often peers are forgotten, in ms. */
const lookMs = 25;

interface Peer {
  readonly group: string;
  readonly allowance: Allowance;
  /** In the order in which they came. */
  readonly waiting: Set<() => void>;
}

/**
 * Begins handshakes one by one: each costs the service half a millisecond of CPU, and its client next to nothing. Where
 * they come faster they wait, peer by peer in turn:
 *
 * - of all peers together for a share of the event loop's time, so that between two of them there is time for all else:
 *   as many as came at once would hold up everybody for as long as they take together;
 * - of one peer for so many a second.
 *
 * None is refused, for the peer may be a load balancer or a NAT with others behind it.
 */
export class HandshakePace {
  readonly #perPeer: number;
  /** For each ms of handshakes, so many ms are for all else. */
  readonly #rest: number;
  readonly #peers = new Map<string, Peer>();
  /** Those of which some wait, in the order of their turns. */
  readonly #turns = new Set<Peer>();
  /** When handshakes have had no more than their share. */
  #freeAt = -Infinity;
  #next: NodeJS.Timeout | undefined;
  #look: NodeJS.Timeout | undefined;

  constructor({ handshakesPerPeer, handshakeShare }: HandshakeLimits) {
    this.#perPeer = handshakesPerPeer;
    this.#rest = 100 / handshakeShare - 1;
  }

  /** @param begin called when it is the connection's turn, at once if it need not wait; never if it is closed before. */
  take(socket: Socket, begin: () => void): void {
    const group = peerGroup(socket.remoteAddress ?? '');
    const peer = this.#peers.get(group) ?? {
      group,
      allowance: new Allowance(this.#perPeer),
      waiting: new Set(),
    };
    this.#peers.set(group, peer);
    this.#look ??= setInterval(() => this.#forget(), lookMs).unref();
    const turn = (): void => {
      socket.off('close', leave);
      begin();
    };
    const leave = (): void => void peer.waiting.delete(turn);
    socket.once('close', leave);
    peer.waiting.add(turn);
    this.#turns.add(peer);
    if (this.#next === undefined) {
      this.#giveTurn();
    }
  }

  /** Counts what a handshake took besides its begin, in ms. */
  took(ms: number): void {
    this.#freeAt = Math.max(this.#freeAt, performance.now()) + ms * this.#rest;
  }

  #giveTurn(): void {
    this.#next = undefined;
    const began = performance.now();
    if (began < this.#freeAt) {
      this.#giveTurnAfter(this.#freeAt - began);
      return;
    }
    const turn = this.#nextTurn();
    if (turn !== undefined) {
      turn();
      this.took(performance.now() - began);
    }
    if (this.#turns.size > 0) {
      this.#giveTurnAfter(turn === undefined ? lookMs : 0);
    }
  }

  /** At least one turn of the event loop later. */
  #giveTurnAfter(ms: number): void {
    this.#next = setTimeout(() => this.#giveTurn(), ms);
  }

  #nextTurn(): (() => void) | undefined {
    for (const peer of this.#turns) {
      const [turn] = peer.waiting;
      if (turn !== undefined && peer.allowance.use()) {
        peer.waiting.delete(turn);
        this.#turns.delete(peer);
        if (peer.waiting.size > 0) {
          this.#turns.add(peer);
        }
        return turn;
      }
    }
    return undefined;
  }

  #forget(): void {
    for (const peer of this.#peers.values()) {
      if (peer.waiting.size === 0) {
        this.#turns.delete(peer);
        if (peer.allowance.isWhole) {
          this.#peers.delete(peer.group);
        }
      }
    }
    if (this.#peers.size === 0) {
      clearInterval(this.#look);
      this.#look = undefined;
    }
  }
}
