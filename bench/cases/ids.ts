import { create, toBinary, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import pg from 'pg';
import {
  DownloadImageRequestSchema,
  GetImageRequestSchema,
  UpdateImageRequestSchema,
} from '../../gen/darkroom/v1/image_service_pb.ts';
import {
  CancelTaskRequestSchema,
  GetTaskRequestSchema,
} from '../../gen/darkroom/v1/task_service_pb.ts';
import type { BenchOptions } from '../command-line.ts';
import type { IdLoad } from '../load/id-load.ts';
import { baseline, Measurements, percentile } from '../measurements.ts';
import { chanceOfLonger } from '../report/chance-of-longer.ts';
import { startPostgres } from '../stage/postgres.ts';
import { startScript } from '../stage/script.ts';
import { startService } from '../stage/service.ts';
import type { Stage } from '../stage/stage.ts';
import { createUpload, imageClient } from './images.ts';

const p50 = { name: 'p50 µs', digits: 1 };
const longer = { name: 'takes longer than one of an unknown id, % of pairs', digits: 2 };
const byChance = { name: 'twice the error of that, %', digits: 2 };

/** Of each kind. */
const idCount = 200;

interface IdCase {
  readonly method: string;
  readonly of: 'image' | 'task';
  readonly request: (id: string) => Uint8Array;
}

function message<Desc extends DescMessage>(
  schema: Desc,
  init: (id: string) => MessageInitShape<Desc>,
): (id: string) => Uint8Array {
  return (id) => toBinary(schema, create(schema, init(id)));
}

const cases: readonly IdCase[] = [
  {
    method: 'darkroom.v1.ImageService/GetImage',
    of: 'image',
    request: message(GetImageRequestSchema, (imageId) => ({ imageId })),
  },
  {
    method: 'darkroom.v1.ImageService/DownloadImage',
    of: 'image',
    request: message(DownloadImageRequestSchema, (imageId) => ({ imageId })),
  },
  {
    method: 'darkroom.v1.ImageService/UpdateImage',
    of: 'image',
    request: message(UpdateImageRequestSchema, (id) => ({
      image: { id, name: 'other' },
      updateMask: { paths: ['name'] },
    })),
  },
  {
    method: 'darkroom.v1.TaskService/GetTask',
    of: 'task',
    request: message(GetTaskRequestSchema, (taskId) => ({ taskId })),
  },
  {
    method: 'darkroom.v1.TaskService/CancelTask',
    of: 'task',
    request: message(CancelTaskRequestSchema, (taskId) => ({ taskId })),
  },
];

/**
 * Measures whether the time of an answer tells another project's id from one that nobody has: both are NOT_FOUND. A caller
 * alone on an idle service sees the most.
 */
export async function benchIds(stage: Stage, options: BenchOptions): Promise<Measurements> {
  const postgres = await startPostgres(stage);
  const service = await startService(stage, {
    databaseUrl: postgres.url,
    profileFolder: options.profileFolder,
  });
  const load = startScript<IdLoad>(stage, new URL('../load/id-load.ts', import.meta.url));
  const { foreign, shared } = await makeForeign(service.url, postgres.url);
  const measurements = new Measurements('ids');
  const { seconds } = options;

  for (let round = 0; round < options.runs; round += 1) {
    for (const { method, of, request } of cases.filter(({ method: name }) => options.wants(name))) {
      const idsOf = (made: readonly Made[]): string[] =>
        made.map(({ imageId, taskId }) => (of === 'image' ? imageId : taskId));
      const kinds = {
        [baseline]: idsOf(foreign).map(neighbourOf),
        'another project’s': idsOf(foreign),
        ...(of === 'image' && { 'another’s, shared with a third': idsOf(shared) }),
      };
      const times = await load.ask('call', {
        url: service.url,
        method,
        seconds,
        kinds: Object.values(kinds).map((ids) => ids.map(request)),
      });
      Object.keys(kinds).forEach((subject, kind) => {
        const [unknown, own] = [[...(times[0] ?? [])], [...(times[kind] ?? [])]];
        measurements.add(method, subject, p50, percentile(own, 0.5));
        if (subject !== baseline) {
          const { share, error } = chanceOfLonger(own, unknown);
          measurements.add(method, subject, longer, share * 100);
          measurements.add(method, subject, byChance, error * 200);
        }
      });
    }
  }
  return measurements;
}

interface Made {
  readonly imageId: string;
  readonly taskId: string;
}

/** Images that become another project's, past the service, which knows only one here. */
async function makeForeign(
  url: string,
  databaseUrl: string,
): Promise<{ readonly foreign: readonly Made[]; readonly shared: readonly Made[] }> {
  const images = imageClient(url);
  const made: Made[] = [];
  for (let count = 0; count < 2 * idCount; count += 1) {
    made.push(await createUpload(images));
  }
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  await client.query(`update images set project_id = 'another'`);
  await client.query(`update tasks set project_id = 'another'`);
  const shared = made.slice(idCount);
  const ids = [shared.map(({ imageId }) => imageId)];
  await client.query(`update images set visibility = 'SHARED' where id = any ($1)`, ids);
  await client.query(
    `insert into image_members (image_id, member_project_id, status, create_time, update_time)
     select id, 'third', 'ACCEPTED', now(), now() from unnest($1::uuid[]) as id`,
    ids,
  );
  await client.query('vacuum analyze');
  await client.end();
  return { foreign: made.slice(0, idCount), shared };
}

/** An id that nobody has, which lies where the other does: whoever guesses knows when it was made. */
function neighbourOf(id: string): string {
  const end = Number.parseInt(id.slice(-8), 16) ^ 0x5aa5_5aa5;
  return `${id.slice(0, -8)}${(end >>> 0).toString(16).padStart(8, '0')}`;
}
