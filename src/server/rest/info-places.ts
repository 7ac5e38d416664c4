import { unlimited } from '../../quotas/quota-amounts.ts';
import type { ProjectQuotas } from '../../quotas/project-quotas.ts';
import type { HttpCall } from '../http/http-endpoints.ts';
import type { Place } from './place.ts';
import { sendView } from './rest-answer.ts';
import { importMethods, storeId } from './upload/store.ts';

/** What it takes to tell what the service can do, and what a project uses of it. */
export interface InfoPlacesParts {
  readonly quotas: ProjectQuotas;
  /** Where the store keeps its bytes. */
  readonly storeFolder: string;
}

const MiB = 1024 ** 2;

/** What this service offers, in the words of Glance's discovery. */
export function infoPlaces({ quotas, storeFolder }: InfoPlacesParts): readonly Place[] {
  const store = { id: storeId, default: 'true' };

  function sendStoresDetail(call: HttpCall): void {
    const properties = { data_dir: storeFolder, chunk_size: MiB, thin_provisioning: true };
    sendView(call, { stores: [{ ...store, type: 'file', properties }] });
  }

  /** Sizes are in MiB there. */
  async function sendUsage(call: HttpCall): Promise<void> {
    const { limits, usage } = await quotas.get(call.context.caller.projectId);
    const inMiB = (bytes: number): number => (bytes === unlimited ? bytes : Math.ceil(bytes / MiB));
    sendView(call, {
      usage: {
        image_size_total: {
          limit: inMiB(limits.stored_bytes),
          usage: inMiB(usage.stored_bytes),
        },
        image_stage_total: {
          limit: inMiB(limits.in_flight_bytes),
          usage: inMiB(usage.in_flight_bytes),
        },
        image_count_total: { limit: limits.images, usage: usage.images },
        image_count_uploading: { limit: limits.uploads, usage: usage.uploads },
      },
    });
  }

  return [
    {
      path: '/v2/info/import',
      methods: {
        GET: (call) =>
          sendView(call, {
            'import-methods': {
              description: 'Import methods available.',
              type: 'array',
              value: importMethods,
            },
          }),
      },
    },
    { path: '/v2/info/stores', methods: { GET: (call) => sendView(call, { stores: [store] }) } },
    { path: '/v2/info/stores/detail', methods: { GET: sendStoresDetail } },
    { path: '/v2/info/usage', methods: { GET: sendUsage } },
  ];
}
