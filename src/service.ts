import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { ImageService as ImageServiceDescriptor } from '../gen/darkroom/v1/image_service_pb.ts';
import { TaskService as TaskServiceDescriptor } from '../gen/darkroom/v1/task_service_pb.ts';
import { serviceCaller } from './access/caller.ts';
import type { Settings } from './config/settings.ts';
import { DatabaseWait } from './database/database-wait.ts';
import { lockDataFolder } from './database/embedded-postgres.ts';
import { slowStatements } from './database/slow-statements.ts';
import { startDatabase } from './database/start-database.ts';
import { etagOf } from './records/image-etag.ts';
import { DownloadPlaces } from './images/download-places.ts';
import { ImageMembers } from './images/image-members.ts';
import { MetadefEntries } from './metadefs/metadef-entries.ts';
import { MetadefNamespaces } from './metadefs/metadef-namespaces.ts';
import { ImageService } from './images/image-service.ts';
import { ImportService } from './imports/import-service.ts';
import { ReachPolicy } from './imports/reach-policy.ts';
import { DatabaseHealth } from './server/health/database-health.ts';
import { StartingHealth } from './server/health/starting-health.ts';
import { imageHandlers } from './server/rpc/image-handlers.ts';
import { quotaHandlers } from './server/rpc/quota-handlers.ts';
import { RequestQuotas } from './quotas/request-quotas.ts';
import { ProjectQuotas } from './quotas/project-quotas.ts';
import { QuotaService as QuotaServiceDescriptor } from '../gen/darkroom/v1/quota_service_pb.ts';
import { SecretKeyFile } from './secrets/secret-key-file.ts';
import { sealOrdersAnew } from './imports/sealed-orders.ts';
import { memberHandlers } from './server/rpc/member-handlers.ts';
import { openIdentities } from './identity/identity-providers.ts';
import { certificateOf, guardedGate, limitedGate, openGate } from './server/gate.ts';
import { restRoutes } from './server/rest/rest-routes.ts';
import type { DescService } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import { openAuditLog } from './server/audit/audit-log.ts';
import { auditedHandlers } from './server/audit/audited-handlers.ts';
import { accessLog } from './server/transport/access-log.ts';
import { startServer } from './server/server.ts';
import type { ConnectionSource } from './runtime/port.ts';
import { Teardown } from './runtime/teardown.ts';
import type { TlsSource } from './tls/tls-material.ts';
import { taskHandlers } from './server/rpc/task-handlers.ts';
import { uploadHandlers } from './server/rpc/upload-handlers.ts';
import { BlobReaper } from './storage/blob-reaper.ts';
import { FileBlobStore } from './storage/file-blob-store.ts';
import { matchStoreIdentity } from './storage/store-identity.ts';
import { ProcessRegistry } from './tasks/upkeep/process-registry.ts';
import { StoredPlaces } from './tasks/watching/shared-places.ts';
import { TaskFeed } from './tasks/watching/task-feed.ts';
import { WatchPlaces } from './tasks/watching/watch-places.ts';
import { TaskLedger } from './tasks/ledger/task-ledger.ts';
import { TaskSweeper } from './tasks/upkeep/task-sweeper.ts';
import { ParkedDigests } from './uploads/digest/blob-digest.ts';
import { DigestPool } from './uploads/digest/digest-pool.ts';
import { UnpackingLanes } from './uploads/unpacking/unpacking-lanes.ts';
import { UploadRepair } from './uploads/repair/upload-repair.ts';
import { UploadService } from './uploads/receiving/upload-service.ts';

/** How often the database is asked whether it answers, in ms. */
const healthIntervalMs = 1000;

/** A running service. */
export interface Service {
  /** Where it listens: `http://<host>:<port>`, or `https://` */
  readonly url: string;
  /** Which PostgreSQL it uses. */
  readonly database: 'embedded' | 'external';
  /**
   * Stops: takes no new work, ends watches, gives running uploads the drain timeout, and closes the
   * database last. Calling it again gives the same promise. Never rejects.
   */
  stop(): Promise<void>;
}

/** What one of several processes has from the one that started it. */
export interface ServiceGroup {
  /** Gives it its share of the connections. */
  readonly source: ConnectionSource;
  /** The URL of the embedded PostgreSQL, which that one runs, where the settings name none. */
  readonly embedded: Promise<string>;
  /** Called when health is answered on connections. */
  onListening(): void;
}

/**
 * Wires the parts and serves. The port is open from the beginning, and health is answered on it; all else is refused
 * until the database is there, which is waited for. What was started is stopped again if a later part cannot be
 * started.
 *
 * @param signal gives the start up.
 * @param tls what TLS is spoken with; undefined for plaintext.
 * @param group what the service has from the process that started it, if it is one of several.
 * @throws AuditFileError, SecretKeyFileError, DataFolderInUseError, WatchedFileError, ListenError, DatabaseWaitError, EmbeddedPostgresError, DatabaseConnectError,
 *   StoreIdentityError, or what PostgreSQL's driver throws; anything if the signal has fired.
 */
export async function startService(
  settings: Settings,
  logger: Logger,
  signal: AbortSignal,
  tls: TlsSource | undefined,
  group?: ServiceGroup,
): Promise<Service> {
  const teardown = new Teardown(logger);
  try {
    const url = await start(settings, logger, teardown, signal, tls, group);
    signal.throwIfAborted();
    let stopped: Promise<void> | undefined;
    return {
      url,
      database: settings.databaseUrl ? 'external' : 'embedded',
      stop: () => (stopped ??= teardown.run()),
    };
  } catch (error) {
    await teardown.run();
    throw error;
  }
}

async function start(
  settings: Settings,
  logger: Logger,
  teardown: Teardown,
  signal: AbortSignal,
  tls: TlsSource | undefined,
  group: ServiceGroup | undefined,
): Promise<string> {
  const onWarning = (message: string): void => logger.warn(message);
  await mkdir(settings.dataDir, { recursive: true });
  if (settings.databaseUrl === undefined && group === undefined) {
    const lock = await lockDataFolder(await realpath(settings.dataDir));
    teardown.add('data folder', () => lock.release());
  }

  const identities = openIdentities(settings, onWarning);
  teardown.add('identity providers', () => identities.close());
  const { authenticator } = identities;

  const audit = openAuditLog(settings.auditFile, logger);
  teardown.add('audit log', () => audit?.close());
  const requestQuotas = new RequestQuotas(settings.maxRequestsPerProject, logger);
  const health = new StartingHealth(() => wait.standing);
  const server = await startServer({
    settings,
    logger,
    health,
    source: group?.source,
    tls,
    observers: audit === undefined ? [accessLog] : [accessLog, audit.observe],
    gate: limitedGate(
      authenticator ? guardedGate(authenticator, certificateOf, settings.adminsActIn) : openGate,
      (projectId) => requestQuotas.refusalOf(projectId),
    ),
    services: [ImageServiceDescriptor, TaskServiceDescriptor, QuotaServiceDescriptor],
  });
  teardown.add('server', () => server.close());
  group?.onListening();
  signal.addEventListener('abort', () => server.drain(), { once: true });

  const wait = new DatabaseWait({
    patienceMs: settings.databaseWaitMs,
    logger,
    fields: { url: server.url },
    signal,
  });
  const { database, url: databaseUrl } = await startDatabase({
    ...settings,
    embedded: group?.embedded,
    poolSize: settings.databasePoolSize,
    wait,
    logger,
    onWarning,
    observe: slowStatements(logger),
    onStop: (name, stop) => teardown.add(name, stop),
  });

  const blobFolder = join(settings.dataDir, 'blobs');
  await wait.untilDone(database, () => matchStoreIdentity(database, blobFolder));
  const store = await FileBlobStore.open(blobFolder, {
    directWrites: settings.directWrites === 'on',
  });

  const ledger = new TaskLedger(database);
  const feed = new TaskFeed({ database, url: databaseUrl, onWarning });
  feed.start();
  teardown.add('task feed', () => feed.close());

  const reaper = new BlobReaper(database, store, logger);
  teardown.add('blob reaper', () => reaper.settle());
  const onBlobsReleased = (): void => reaper.wake();

  const digestPool = new DigestPool();
  teardown.add('digest threads', () => digestPool.close());

  const registry = new ProcessRegistry({
    database,
    ledger,
    logger,
    onOrphanedFinish: () => repairSoon(),
    onKnownAgain: () => watchPlaces.tellAll(),
  });
  const watchPlaces = new WatchPlaces(settings, new StoredPlaces(database, registry.id));
  teardown.add('watch places', () => watchPlaces.stop());
  const uploads = new UploadService({
    database,
    ledger,
    store,
    digests: new ParkedDigests(digestPool),
    changes: feed,
    processId: registry.id,
    limits: settings,
    logger,
    unpackingLanes: new UnpackingLanes(settings.maxUnpackings),
    onBlobsReleased,
  });
  const reach = new ReachPolicy(settings);
  const secrets = await SecretKeyFile.open({
    file: settings.secretsKeyFile,
    dataDir: settings.dataDir,
    onChange() {
      logger.info('the keys of stored secrets have changed: the first one encrypts from now on');
      sealOrders();
    },
    onBroken: onWarning,
  });
  teardown.add('secret keys', () => secrets.close());
  const secretKeys = secrets.keys;
  const imports = new ImportService({
    database,
    store,
    uploads,
    limits: settings,
    secretKeys,
    maxImageBytes: settings.maxImageBytes,
    pace: { idleTimeoutMs: settings.importStallTimeoutMs, minRate: settings.minUploadRate },
    http: {
      reach,
      connectTimeoutMs: settings.importConnectTimeoutMs,
      responseTimeoutMs: settings.importResponseTimeoutMs,
      maxRedirects: settings.importMaxRedirects,
    },
    logger,
  });
  const onImportDue = (): void => imports.wake();
  const repair = new UploadRepair({
    database,
    ledger,
    store,
    uploads,
    reaper,
    processId: registry.id,
    failedBytesRetentionMs: settings.failedBytesRetentionMs,
    logger,
  });
  const repairSoon = (): void => {
    repair.run().catch((error: unknown) => logger.warn({ err: error }, 'repair failed'));
  };
  const sealOrders = (): void => {
    sealOrdersAnew(database, secretKeys).catch((error: unknown) =>
      logger.warn({ err: error }, 'stored secrets could not be encrypted anew'),
    );
  };
  const reconcileQuotas = (): void => {
    quotas
      .reconcile()
      .catch((error: unknown) => logger.warn({ err: error }, 'quotas could not be looked through'));
  };
  teardown.add('process registry', () => registry.stop());
  await wait.untilDone(database, () => registry.start());

  const quotas = new ProjectQuotas(database, settings, logger);
  await wait.untilDone(database, () => quotas.start());
  await wait.untilDone(database, () => requestQuotas.start(database));
  teardown.add('request quotas', () => requestQuotas.stop());

  const images = new ImageService({
    database,
    settings,
    reach,
    secretKeys,
    beforeImage: (projectId) => quotas.ensureCounted(projectId),
    onImportDue,
    onBlobsReleased,
  });
  const sweeper = new TaskSweeper({
    database,
    settings,
    logger,
    onBlobsReleased,
    deleteImage: (image) =>
      images.deleteImage(serviceCaller(image.projectId), {
        imageId: image.id,
        etag: etagOf(image),
      }),
  });
  sweeper.start();
  teardown.add('sweeper', () => sweeper.stop());

  const downloads = { database, store, places: new DownloadPlaces(settings.maxDownloads) };
  const members = new ImageMembers(database, settings);
  const databaseHealth = new DatabaseHealth({
    probe: () => database.isReachable(),
    intervalMs: healthIntervalMs,
  });
  teardown.add('health', () => databaseHealth.stop());
  server.serve({
    httpRoutes: restRoutes({
      database,
      ledger,
      downloads,
      images,
      uploads,
      quotas,
      reach,
      secretKeys,
      onBlobsReleased,
      onImportDue,
      maxChunkBytes: settings.maxChunkBytes,
      maxImageBytes: settings.maxImageBytes,
      pace: { idleTimeoutMs: settings.streamIdleTimeoutMs, minRate: settings.minUploadRate },
      storeFolder: blobFolder,
      members,
      metadefNamespaces: new MetadefNamespaces(database),
      metadefEntries: new MetadefEntries(database),
      historyRetentionMs: settings.historyRetentionMs,
    }),
    routes(router) {
      const serve = <S extends DescService>(service: S, handlers: ServiceImpl<S>): unknown =>
        router.service(service, audit ? auditedHandlers(service, handlers, audit) : handlers);
      serve(ImageServiceDescriptor, {
        ...imageHandlers(images, settings),
        ...memberHandlers(members),
        ...uploadHandlers({ uploads, images, database, downloads, settings }),
      });
      serve(
        TaskServiceDescriptor,
        taskHandlers({
          database,
          ledger,
          feed,
          watchPlaces,
          onBlobsReleased,
          onImportDue,
        }),
      );
      serve(QuotaServiceDescriptor, quotaHandlers(quotas));
    },
  });
  // Whoever reads that the service is ready may ask at once.
  await databaseHealth.known;
  health.giveWayTo(databaseHealth);
  imports.start();
  teardown.add('imports', () => imports.stop());
  repairSoon();
  sealOrders();
  const repairs = setInterval(() => {
    repairSoon();
    sealOrders();
    reconcileQuotas();
  }, settings.repairIntervalMs).unref();
  teardown.add('repair', async () => {
    clearInterval(repairs);
    await repair.settle();
  });
  teardown.add('uploads', () => uploads.drain());
  teardown.add('server', () => {
    imports.claimNoMore();
    database.hurry();
    return server.close(() => void uploads.drain());
  });
  return server.url;
}
