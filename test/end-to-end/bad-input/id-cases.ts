import { readAll } from '../../support/failures.ts';
import { invalid, noSuchId, type Case, type Clients } from './case.ts';

type Take = (clients: Clients, id: string) => Promise<unknown>;

/** Every call that takes an id of that kind, with the field that holds it. */
const takingImages: Record<string, Take> = {
  GetImage: ({ images }, imageId) => images.getImage({ imageId }),
  DeleteImage: ({ images }, imageId) => images.deleteImage({ imageId }),
  DownloadImage: ({ images }, imageId) => readAll(images.downloadImage({ imageId })),
  ListFaults: ({ tasks }, value) => tasks.listFaults({ of: { case: 'imageId', value } }),
  AddImageMember: ({ images }, imageId) =>
    images.addImageMember({ imageId, memberProjectId: 'other' }),
  ListImageMembers: ({ images }, imageId) => images.listImageMembers({ imageId }),
  GetImageMember: ({ images }, imageId) =>
    images.getImageMember({ imageId, memberProjectId: 'other' }),
  RemoveImageMember: ({ images }, imageId) =>
    images.removeImageMember({ imageId, memberProjectId: 'other' }),
};
const takingTasks: Record<string, Take> = {
  ResumeUpload: ({ images }, taskId) => images.resumeUpload({ taskId }),
  UploadChunk: ({ images }, taskId) => images.uploadChunk({ taskId, data: Buffer.of(1) }),
  GetTask: ({ tasks }, taskId) => tasks.getTask({ taskId }),
  ListFaults: ({ tasks }, value) => tasks.listFaults({ of: { case: 'taskId', value } }),
  ListTaskEvents: ({ tasks }, taskId) => tasks.listTaskEvents({ taskId }),
  WatchTask: ({ tasks }, taskId) => readAll(tasks.watchTask({ taskId })),
  ReportProgress: ({ tasks }, taskId) => tasks.reportProgress({ taskId }),
  ReportFault: ({ tasks }, taskId) =>
    tasks.reportFault({ taskId, code: 13, reason: 'BROKEN', message: 'it broke' }),
  CancelTask: ({ tasks }, taskId) => tasks.cancelTask({ taskId }),
  RetryTask: ({ tasks }, taskId) => tasks.retryTask({ taskId }),
};
const noIds = [
  '',
  'x',
  `{${noSuchId}}`,
  `${noSuchId}0`,
  noSuchId.replace('0', 'g'),
  'é'.repeat(5000),
  'a\0b',
];

function casesOf(calls: Record<string, Take>, kind: 'image' | 'task'): Case[] {
  const reason = `${kind.toUpperCase()}_NOT_FOUND`;
  return Object.entries(calls).flatMap(([name, call]) => {
    const cases = noIds.map((id): Case => {
      const shown = JSON.stringify(id.slice(0, 40));
      return [
        `${name} with ${shown} for an id`,
        (clients) => call(clients, id),
        invalid(`${kind}_id`),
      ];
    });
    cases.push([
      `${name} of a ${kind} that there is not`,
      (clients) => call(clients, noSuchId),
      { code: 'NotFound', reason, fields: [] },
    ]);
    return cases;
  });
}

/** Ids that are none, and ids of nothing, in every call that takes one. */
export const idCases: Case[] = [...casesOf(takingImages, 'image'), ...casesOf(takingTasks, 'task')];
