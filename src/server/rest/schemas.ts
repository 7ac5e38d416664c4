import { collectionSchema } from './collection-schema.ts';
import { taskStatuses, taskTypeWords } from './task-words.ts';

/** An id, as a schema's pattern. */
export const uuidPattern =
  '^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$';

/**
 * JSON schema of a task. Clients build their tasks from it and take no field that it does not name, so it names
 * all that a TaskView has, and no more.
 */
export const taskSchema = {
  name: 'task',
  properties: {
    id: { description: 'An identifier for the task', pattern: uuidPattern, type: 'string' },
    type: {
      description: 'The type of task represented by this content',
      enum: taskTypeWords,
      type: 'string',
    },
    status: {
      description: 'The current status of this task; one that was cancelled is a failure',
      enum: taskStatuses,
      type: 'string',
    },
    owner: { description: 'The project that owns this task', type: 'string' },
    user_id: { description: 'The user who made this task', type: 'string' },
    request_id: { description: 'The request id of the call that made this task', type: 'string' },
    image_id: { description: 'The image that this task works for', type: 'string' },
    input: {
      description: 'What its creator stated: image_id, total_size, sha256, labels',
      type: ['null', 'object'],
    },
    result: {
      description: 'The image_id and the size in bytes, once the task has succeeded',
      type: ['null', 'object'],
    },
    message: {
      description: 'Why it failed, its last fault, or what it is doing, for people',
      type: 'string',
    },
    created_at: { description: 'When this task was created', type: 'string' },
    updated_at: { description: 'When this task last changed', type: 'string' },
    expires_at: {
      description:
        'When this task fails unless something comes; once it has ended, when its record may be removed',
      type: ['null', 'string'],
    },
    self: { readOnly: true, type: 'string' },
    schema: { readOnly: true, type: 'string' },
  },
  additionalProperties: false,
} as const;

/** JSON schema of a list of tasks. */
export const tasksSchema = collectionSchema('tasks', taskSchema);
