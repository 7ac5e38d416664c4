import { create } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import {
  GetQuotaResponseSchema,
  QuotaAmountsSchema,
  QuotaSchema,
  UpdateQuotaResponseSchema,
  type Quota,
  type QuotaAmounts as QuotaAmountsMessage,
  type QuotaService,
} from '../../../gen/darkroom/v1/quota_service_pb.ts';
import type { ProjectQuota, ProjectQuotas } from '../../quotas/project-quotas.ts';
import type { QuotaAmounts, QuotaName } from '../../quotas/quota-amounts.ts';
import { readQuota, updateQuota } from '../../quotas/quota-requests.ts';
import { callerOf } from '../transport/request-context.ts';
import { snakeCase } from './messages/image-requests.ts';

const fieldOf = {
  stored_bytes: 'storedBytes',
  in_flight_bytes: 'inFlightBytes',
  images: 'images',
  live_tasks: 'liveTasks',
  uploads: 'uploads',
  imports: 'imports',
  requests_per_second: 'requestsPerSecond',
} as const satisfies Record<QuotaName, keyof QuotaAmountsMessage>;

const fields = Object.entries(fieldOf) as [QuotaName, (typeof fieldOf)[QuotaName]][];

/** Translates between the contract's messages and the quotas of projects. */
export function quotaHandlers(quotas: ProjectQuotas): ServiceImpl<typeof QuotaService> {
  return {
    async getQuota({ projectId }, context) {
      const quota = await readQuota(quotas, callerOf(context), projectId);
      return create(GetQuotaResponseSchema, { quota: quotaMessage(quota) });
    },

    async updateQuota({ projectId, limits, updateMask, etag }, context) {
      const quota = await updateQuota(quotas, callerOf(context), {
        projectId,
        limits: Object.fromEntries(
          fields.flatMap(([name, field]) => {
            const limit = limits?.[field];
            return limit === undefined ? [] : [[name, limit]];
          }),
        ),
        paths: (updateMask?.paths ?? []).map(snakeCase),
        etag,
      });
      return create(UpdateQuotaResponseSchema, { quota: quotaMessage(quota) });
    },
  };
}

function quotaMessage({ projectId, limits, overrides, usage, version }: ProjectQuota): Quota {
  return create(QuotaSchema, {
    projectId,
    limits: amountsMessage(limits),
    overrides: amountsMessage(overrides),
    usage: amountsMessage(usage),
    etag: version === 0 ? '' : String(version),
  });
}

function amountsMessage(amounts: Partial<QuotaAmounts>): QuotaAmountsMessage {
  return create(
    QuotaAmountsSchema,
    Object.fromEntries(
      fields.flatMap(([name, field]) => {
        const amount = amounts[name];
        return amount === undefined ? [] : [[field, BigInt(amount)]];
      }),
    ),
  );
}
