import type { TlsMaterial, TlsSource } from '../tls/tls-material.ts';
import type { GroupMessage } from './process-messages.ts';

/**
 * The material of TLS as another process, which reads the files, gives it to this one. So all processes speak TLS with the
 * same, and one that is started while a file is broken has what the others have.
 */
export class HandedTls implements TlsSource {
  readonly ticketSecret: Buffer;
  readonly #listeners: ((material: TlsMaterial) => void)[] = [];
  #material: TlsMaterial;

  constructor({ material, ticketSecret }: HandedAtStart) {
    this.#material = material;
    this.ticketSecret = Buffer.from(ticketSecret, 'base64');
  }

  get material(): TlsMaterial {
    return this.#material;
  }

  /** Takes what is used from now on. */
  hand(material: TlsMaterial): void {
    this.#material = material;
    for (const listener of this.#listeners) {
      listener(material);
    }
  }

  onChange(listener: (material: TlsMaterial) => void): void {
    this.#listeners.push(listener);
  }
}

type HandedAtStart = NonNullable<Extract<GroupMessage, { kind: 'start' }>['tls']>;

/** What another process is given at its start. */
export function tlsAtStart({ material, ticketSecret }: TlsSource): HandedAtStart {
  return { material, ticketSecret: ticketSecret.toString('base64') };
}
