import { imageSchema, imagesSchema } from './image-schema.ts';
import { memberSchema, membersSchema } from './member-schema.ts';
import { metadefSchemas } from './metadefs/metadef-schemas.ts';
import type { Place } from './place.ts';
import { sendView } from './rest-answer.ts';
import { taskSchema, tasksSchema } from './schemas.ts';

const schemas = {
  image: imageSchema,
  images: imagesSchema,
  member: memberSchema,
  members: membersSchema,
  task: taskSchema,
  tasks: tasksSchema,
  ...Object.fromEntries(
    Object.entries(metadefSchemas).map(([name, schema]) => [`metadefs/${name}`, schema]),
  ),
};

/** What images and tasks are made of, for clients that check by it. */
export const schemaPlaces: readonly Place[] = Object.entries(schemas).map(([name, schema]) => ({
  path: `/v2/schemas/${name}`,
  methods: { GET: (call) => sendView(call, schema) },
}));
