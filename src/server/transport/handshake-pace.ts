import type { Socket } from 'node:net';
import { peerGroup } from './peer-group.ts';

/** How often it is looked whose turn has come, in ms. */
const tickMs = 25;

interface Peer {
  /** How many handshakes it may begin by now. */
  allowance: number;
  countedAt: number;
  /** In the order in which they came. */
  readonly waiting: Set<() => void>;
}

/**
 * Begins the handshakes of one peer no faster than so many a second, after as many at once: each costs the service half a
 * millisecond of CPU, and its client next to nothing. More of them wait, for the peer may be a load balancer or a NAT with
 * others behind it.
 */
export class HandshakePace {
  readonly #perSecond: number;
  readonly #peers = new Map<string, Peer>();
  #timer: NodeJS.Timeout | undefined;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** @param begin called when it is the connection's turn, at once if it need not wait; never if it is closed before. */
  take(socket: Socket, begin: () => void): void {
    const now = performance.now();
    const group = peerGroup(socket.remoteAddress ?? '');
    const peer = this.#peers.get(group) ?? {
      allowance: this.#perSecond,
      countedAt: now,
      waiting: new Set(),
    };
    this.#peers.set(group, peer);
    this.#timer ??= setInterval(() => this.#look(), tickMs).unref();
    const turn = (): void => {
      socket.off('close', leave);
      begin();
    };
    const leave = (): void => void peer.waiting.delete(turn);
    socket.once('close', leave);
    peer.waiting.add(turn);
    this.#giveTurns(peer, now);
  }

  #look(): void {
    const now = performance.now();
    for (const [group, peer] of this.#peers) {
      this.#giveTurns(peer, now);
      if (peer.waiting.size === 0 && peer.allowance >= this.#perSecond) {
        this.#peers.delete(group);
      }
    }
    if (this.#peers.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }

  #giveTurns(peer: Peer, now: number): void {
    const more = ((now - peer.countedAt) / 1000) * this.#perSecond;
    peer.allowance = Math.min(this.#perSecond, peer.allowance + more);
    peer.countedAt = now;
    for (const turn of peer.waiting) {
      if (peer.allowance < 1) {
        return;
      }
      peer.allowance -= 1;
      peer.waiting.delete(turn);
      turn();
    }
  }
}
