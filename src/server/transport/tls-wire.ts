import { constants, createHash, hkdfSync } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import type { TlsMaterial, TlsSource } from '../../tls/tls-material.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import { isRevoked, revocationListsIn, revocationListBlocks } from '../../tls/revocation-lists.ts';
import { standingByCertificate, type ClientAuth } from './client-certificate.ts';
import { rememberStanding } from './connection-standing.ts';
import { CountedLog } from './counted-log.ts';
import { HandshakePace, type HandshakeLimits } from './handshake-pace.ts';
import { resumeSoon, tellFirstWords } from './first-bytes.ts';
import type { BegunConnection, Wire } from './wire.ts';

/**
 * Mozilla's "intermediate" (https://wiki.mozilla.org/Security/Server_Side_TLS) without DHE: all have forward secrecy and
 * authenticated encryption, and are allowed for HTTP/2 (RFC 9113, section 9.2.2). In order: AES of 128 bits first, which
 * takes the least CPU for an upload; a client without AES in hardware gets CHACHA20 (SSL_OP_PRIORITIZE_CHACHA).
 */
const ciphers = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

const secureOptions =
  constants.SSL_OP_PRIORITIZE_CHACHA |
  constants.SSL_OP_NO_RENEGOTIATION |
  constants.SSL_OP_NO_COMPRESSION;

/** How long a session may be resumed, in s. */
const sessionTimeoutS = 300;

/** How long the keys of session tickets live, in ms: whoever learns them can read what was sent by TLS 1.2 meanwhile. */
const ticketPeriodMs = 12 * 3600 * 1000;

const tlsRequired = new DarkroomError(
  'TLS_REQUIRED',
  'this port speaks TLS: call it by https://, or with the credentials of TLS',
);

/** What TLS is spoken with. */
export interface TlsWireOptions extends HandshakeLimits {
  readonly source: TlsSource;
  readonly clientAuth: ClientAuth;
  readonly logger: Logger;
}

/** A connection whose handshake is under way. */
interface Handshake {
  done(socket: TLSSocket): void;
}

/** TLS 1.2 and 1.3, with ALPN for both versions of HTTP. */
export class TlsWire implements Wire {
  readonly scheme = 'https';
  readonly #options: TlsWireOptions;
  readonly #failures: CountedLog;
  readonly #pace: HandshakePace;
  /** By the addresses of both ends: by these alone Node tells which connection is done. */
  readonly #handshakes = new Map<string, Handshake>();
  /** Connections whose clients have shown a certificate. */
  readonly #withCertificate = new Set<TLSSocket>();
  #server: Server;
  #ticketPeriod: number;

  constructor(options: TlsWireOptions) {
    const { source, logger } = options;
    this.#options = options;
    this.#pace = new HandshakePace(options);
    this.#failures = new CountedLog(logger, 'info', 'failed');
    this.#ticketPeriod = presentTicketPeriod();
    this.#server = this.#serverWith(source.material);
    // Connections that there are keep what they have begun with.
    source.onChange((material) => {
      this.#server = this.#serverWith(material);
      this.#endRevoked(material);
    });
  }

  begin(socket: Socket, timeoutMs: number, begun: (connection: BegunConnection) => void): void {
    const until = performance.now() + timeoutMs;
    tellFirstWords(socket, timeoutMs, (words) => {
      if (words === 'tls') {
        this.#shakeHands(socket, until, begun);
      } else {
        // It is told so by HTTP's own answer.
        rememberStanding(socket, { refusal: tlsRequired });
        begun({ socket, protocol: words });
        resumeSoon(socket);
      }
    });
  }

  #shakeHands(socket: Socket, until: number, begun: (connection: BegunConnection) => void): void {
    const ends = endsOf(socket);
    if (ends === undefined) {
      socket.destroy();
      return;
    }
    // Of the whole handshake: Node's own begins anew with each byte.
    const timer = setTimeout(() => socket.destroy(), Math.max(0, until - performance.now()));
    const handshake: Handshake = {
      done: (secured) => {
        const began = performance.now();
        leave();
        const protocol = secured.alpnProtocol === 'h2' ? 'http2' : 'http1';
        if (this.#options.source.material.clientCa !== undefined) {
          rememberStanding(secured, standingByCertificate(secured, this.#options.clientAuth));
          this.#remember(secured);
        }
        begun({ socket: secured, protocol });
        this.#pace.took(performance.now() - began);
      },
    };
    const leave = (): void => {
      clearTimeout(timer);
      if (this.#handshakes.get(ends) === handshake) {
        this.#handshakes.delete(ends);
      }
    };
    socket.once('close', leave);
    this.#handshakes.set(ends, handshake);
    this.#pace.take(socket, () => {
      this.#renewTicketKeys();
      this.#server.emit('connection', socket);
    });
  }

  #serverWith(material: TlsMaterial): Server {
    const { certificate, key, clientCa, clientCrl } = material;
    const server = createServer({
      cert: certificate,
      key,
      ...(clientCa !== undefined && { ca: clientCa, requestCert: true }),
      ...(clientCrl !== undefined && { crl: revocationListBlocks(clientCrl) }),
      // The verdict is `standingByCertificate`'s.
      rejectUnauthorized: false,
      minVersion: 'TLSv1.2',
      ciphers,
      honorCipherOrder: true,
      secureOptions,
      ALPNProtocols: ['h2', 'http/1.1'],
      sessionTimeout: sessionTimeoutS,
      sessionIdContext: 'darkroom',
      ticketKeys: ticketKeys(this.#options.source.ticketSecret, this.#ticketPeriod, material),
    });
    server.on('secureConnection', (socket) => {
      // One that breaks before anybody listens.
      socket.on('error', (error) => this.#options.logger.debug({ err: error }, 'TLS broke'));
      const ends = endsOf(socket);
      const handshake = ends === undefined ? undefined : this.#handshakes.get(ends);
      if (handshake === undefined) {
        // Its client has gone.
        socket.destroy();
      } else {
        handshake.done(socket);
      }
    });
    server.on('tlsClientError', (error, socket) => {
      this.#failures.tell(`a handshake of TLS failed: ${nameOf(error)}`, {
        peer: socket.remoteAddress,
      });
      socket.destroy();
    });
    return server;
  }

  #remember(secured: TLSSocket): void {
    if (secured.getPeerX509Certificate() !== undefined) {
      this.#withCertificate.add(secured);
      secured.once('close', () => this.#withCertificate.delete(secured));
    }
  }

  /** A connection whose certificate was taken back since ends at once; when its client comes again it is told why. */
  #endRevoked({ clientCrl }: TlsMaterial): void {
    if (clientCrl === undefined) {
      return;
    }
    const lists = revocationListsIn(clientCrl, 'the list of revoked certificates');
    let ended = 0;
    for (const secured of this.#withCertificate) {
      const certificate = secured.getPeerX509Certificate();
      if (certificate !== undefined && isRevoked(certificate, lists)) {
        secured.destroy();
        ended += 1;
      }
    }
    if (ended > 0) {
      this.#options.logger.info(
        { connections: ended },
        'connections were ended: their certificates were taken back',
      );
    }
  }

  #renewTicketKeys(): void {
    const period = presentTicketPeriod();
    if (period !== this.#ticketPeriod) {
      this.#ticketPeriod = period;
      this.#server = this.#serverWith(this.#options.source.material);
    }
  }
}

function presentTicketPeriod(): number {
  return Math.floor(Date.now() / ticketPeriodMs);
}

/**
 * The keys of session tickets, alike wherever they are made of the same: so processes need not tell each other. With other
 * files they are others, so that no session goes on that an authority stood for which is not there any more.
 */
function ticketKeys(secret: Buffer, period: number, material: TlsMaterial): Buffer {
  const files = createHash('sha256').update(JSON.stringify(material)).digest('hex');
  return Buffer.from(hkdfSync('sha256', secret, '', `session tickets ${period} ${files}`, 48));
}

/** The addresses of both ends, which no two connections have at the same time; undefined where the client has gone. */
function endsOf({
  remoteAddress,
  remotePort,
  localAddress,
  localPort,
}: Socket): string | undefined {
  return remotePort === undefined || localPort === undefined
    ? undefined
    : `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

/** Such as `ERR_SSL_TLSV1_ALERT_UNKNOWN_CA`, which the client says that does not know the service's authority. */
function nameOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
