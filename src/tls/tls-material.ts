/** What TLS is spoken with: the texts of the files, as PEM. Plain, so that it can be given to another process. */
export interface TlsMaterial {
  /** The certificate of the service, and after it those between it and the root. */
  readonly certificate: string;
  readonly key: string;
  /** Authorities by which certificates of clients are checked; undefined where none is asked for. */
  readonly clientCa: string | undefined;
  /** What those authorities have taken back; undefined where that is not asked. */
  readonly clientCrl: string | undefined;
}

/** Where the material comes from, and comes anew. */
export interface TlsSource {
  /** What is good at present. */
  readonly material: TlsMaterial;
  /**
   * From which the keys of session tickets are made: the same in all processes of one port, so that a client that comes back
   * may go on with its session whichever of them it gets.
   */
  readonly ticketSecret: Buffer;
  /** Has `listener` told of all material that comes from now on. It was checked. */
  onChange(listener: (material: TlsMaterial) => void): void;
}

/** Thrown for files with which TLS cannot be spoken; the message says which, why and what to do. */
export class TlsFilesError extends Error {
  override readonly name = 'TlsFilesError';
}
