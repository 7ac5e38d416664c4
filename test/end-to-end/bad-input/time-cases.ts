import { createRequest, invalid, type Case } from './case.ts';

/** Times that JSON cannot spell: only the binary form can carry them. */
export const timeCases: Case[] = [
  [
    'CreateImage with a timeout whose parts do not go together',
    ({ images }) =>
      images.createImage(createRequest({}, { idleTimeout: { seconds: 5n, nanos: -1 } })),
    invalid('idle_timeout'),
  ],
  [
    'ListImages with a time after year 9999',
    ({ images }) => images.listImages({ filter: { createdAfter: { seconds: 2n ** 60n } } }),
    invalid('filter.created_after'),
  ],
  [
    'ListTasks with a time of two seconds in nanoseconds',
    ({ tasks }) => tasks.listTasks({ filter: { updatedBefore: { nanos: 2_000_000_000 } } }),
    invalid('filter.updated_before'),
  ],
];
