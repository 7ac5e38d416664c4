import type { DescService } from '@bufbuild/protobuf';
import type { Logger } from 'pino';
import { policyWith, type AccessPolicy } from '../access/policy.ts';
import type { Settings } from '../config/settings.ts';
import { isLoopback } from '../domain/loopback.ts';
import { observeCall, type CallObserver } from './transport/call-observer.ts';
import { connectionCheck } from './connection-check.ts';
import { applyCors } from './http/cors.ts';
import { Drain } from './transport/drain.ts';
import { unlessDraining, type HealthSource } from './health/health-source.ts';
import type { Gate } from './gate.ts';
import { RequestDispatch, type Asked } from './request-dispatch.ts';
import { answersOf } from './answers.ts';
import { hostCheck } from './http/host-check.ts';
import { originCheck } from './http/origin-check.ts';
import type { Application } from './application.ts';
import { startListener } from './transport/listener.ts';
import { urlOf, type ConnectionSource } from '../runtime/port.ts';
import { connectErrorOf } from './errors/error-mapping.ts';
import { UntakenAnswers } from './transport/untaken-answers.ts';
import type { NodeRequest, NodeResponse } from './transport/node-http.ts';
import { RequestBody } from './transport/request-body.ts';
import { CallContext } from './transport/request-context.ts';
import { discardRestAfter } from './transport/response-writer.ts';
import { startingApplication } from './starting-application.ts';
import { certificateNames } from '../tls/certificate-names.ts';
import type { TlsSource } from '../tls/tls-material.ts';

/** How long calls that are told to end at last may take for it, in ms, before their connections are cut. */
const endMs = 2000;

/** What a server needs to start. */
export interface ServerOptions {
  readonly settings: Pick<
    Settings,
    | 'host'
    | 'port'
    | 'hosts'
    | 'corsOrigins'
    | 'reflection'
    | 'keystoneUrl'
    | 'keystonePublicUrl'
    | 'maxConnections'
    | 'maxConnectionsPerPeer'
    | 'headTimeoutMs'
    | 'idleTimeoutMs'
    | 'maxGivenUpCalls'
    | 'maxGivenUpCallsPerSecond'
    | 'floodPauseMs'
    | 'maxStreamWindowBytes'
    | 'maxUnreadBytes'
    | 'maxOpenRequests'
    | 'maxOpenRequestsPerPeer'
    | 'maxConcurrentStreams'
    | 'maxHeaderBytes'
    | 'maxHeaders'
    | 'maxMessageBytes'
    | 'maxUnsentBytes'
    | 'maxPingsPerSecond'
    | 'maxSettingsPerSecond'
    | 'maxChunkBytes'
    | 'streamIdleTimeoutMs'
    | 'minUploadRate'
    | 'drainTimeoutMs'
    | 'tlsClientAuth'
    | 'tlsHandshakesPerPeer'
    | 'tlsHandshakeShare'
  >;
  readonly logger: Logger;
  /** Where connections come from, if not from a port that this process opens. */
  readonly source?: ConnectionSource | undefined;
  /** With what TLS is spoken; plaintext if not set. */
  readonly tls?: TlsSource | undefined;
  /** What will be served: their calls are refused until there is an application. */
  readonly services: readonly DescService[];
  readonly health: HealthSource;
  /** Asked of every request before it is done. */
  readonly gate: Gate;
  /** Who may call what; `policyWith` what is set of reflection, if not set. */
  readonly policy?: AccessPolicy;
  /** Told of every call: the access log, and whatever measures. */
  readonly observers: readonly CallObserver[];
}

/** A running server. */
export interface Server {
  /** Where it can be called, such as `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly port: number;
  /** Fires when the server begins to stop. */
  readonly drainSignal: AbortSignal;
  /**
   * Has an application answer all calls that come from now on. Until then health alone is answered.
   *
   * @throws NoAccessRuleError where the policy does not say who may call something of it.
   */
  serve(application: Application): void;
  /**
   * Begins to stop: no new connections, new calls are refused with SERVER_DRAINING, watches end with it, health
   * says NOT_SERVING, running uploads go on.
   */
  drain(): void;
  /**
   * Drains, gives running calls the drain timeout, ends those that are left with SERVER_DRAINING, and at last cuts
   * every connection. Resolves when the port and all connections are closed.
   *
   * @param onTimeUp called when the drain timeout is over, if calls are left: what they wait for should end now.
   */
  close(onTimeUp?: () => void): Promise<void>;
}

/**
 * Opens one port for gRPC, gRPC-Web, Connect and plain HTTP. Health is answered at once, all else when the server is
 * given an application.
 *
 * @throws ListenError where the port cannot be opened.
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { settings, logger, gate, policy = policyWith(settings.reflection) } = options;
  const drain = new Drain();
  const health = unlessDraining(options.health, drain.drainSignal);

  const parts = { settings, policy, drain, health };
  let answers = answersOf(startingApplication(options.services), parts);
  const requests = new RequestDispatch(
    gate,
    () => answers,
    settings.keystonePublicUrl ?? settings.keystoneUrl,
  );
  const untaken = new UntakenAnswers(settings.streamIdleTimeoutMs, ({ outcome }, failure) => {
    outcome.failure = connectErrorOf(failure);
  });
  const ownNames = options.tls ? certificateNames(options.tls) : () => [];
  const wrongHost = hostCheck(settings, ownNames);
  const wrongOrigin = originCheck(settings.corsOrigins);

  function handle(request: NodeRequest, response: NodeResponse): void {
    const body = new RequestBody(request);
    const context = new CallContext(request, logger, body, drain);
    // On the response itself, so that every answer has it: of any protocol, good or bad.
    response.setHeader('x-request-id', context.requestId);
    // Such as a write after the end. An error that nobody listens to would end the process.
    response.on('error', (error) => context.logger.error({ err: error }, 'response broke'));
    const tellEnd = observeCall(request, response, context, options.observers);
    discardRestAfter(request, response, body);
    drain.follow(body);
    // Here as in other places of what each watcher keeps: `on`, where `once` would take 176 bytes more, for what comes once. And
    // few, for a third has Node keep room for 20.
    response.on('close', () => {
      tellEnd();
      untaken.leave(response);
      drain.unfollow(body);
    });
    untaken.watch(response, context);
    const asked: Asked = { request, response, body, context };
    const refusal = connectionCheck(request) ?? wrongHost(request) ?? wrongOrigin(request);
    if (refusal !== undefined) {
      requests.refuse(asked, refusal);
    } else if (!applyCors(settings.corsOrigins, request, response)) {
      requests.dispatch(asked);
    }
  }

  const listener = await startListener({
    ...settings,
    logger,
    source: options.source,
    tls: options.tls && {
      source: options.tls,
      clientAuth: settings.tlsClientAuth ?? 'required',
      handshakesPerPeer: settings.tlsHandshakesPerPeer,
      handshakeShare: settings.tlsHandshakeShare,
    },
    handler(request, response) {
      try {
        handle(request, response);
      } catch (error) {
        logger.error({ err: error }, 'request could not be handled');
        response.destroy();
      }
    },
  });

  if (settings.hosts.length === 0 && ownNames().length === 0 && !isLoopback(listener.address)) {
    logger.info(
      'clients have to call by IP address: names are taken once DARKROOM_HOSTS lists them',
    );
  }

  function begin(): void {
    drain.begin();
    listener.drain();
  }

  async function closesWithin(ms: number): Promise<boolean> {
    const late = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => late.resolve(false), ms);
    const closes = await Promise.race([listener.closed.then(() => true), late.promise]);
    clearTimeout(timer);
    return closes;
  }

  return {
    url: urlOf(listener, listener.scheme),
    port: listener.port,
    drainSignal: drain.drainSignal,
    drain: begin,
    serve(application) {
      answers = answersOf(application, parts);
    },
    async close(onTimeUp) {
      begin();
      if (!(await closesWithin(settings.drainTimeoutMs))) {
        drain.end();
        onTimeUp?.();
        if (!(await closesWithin(endMs))) {
          listener.destroy();
        }
      }
      await listener.closed;
      untaken.stop();
    },
  };
}
