import { taskStates, type TaskState, type TaskType } from '../../records/task.ts';

/** Glance's words for how far a task is. */
export const taskStatuses = ['failure', 'pending', 'processing', 'success'] as const;
export type TaskStatus = (typeof taskStatuses)[number];

// Glance knows no cancelling: to its readers a cancelled task failed, and its message says how.
const statuses: Readonly<Record<TaskState, TaskStatus>> = {
  PENDING: 'pending',
  RUNNING: 'processing',
  SUCCEEDED: 'success',
  FAILED: 'failure',
  CANCELLED: 'failure',
};

/** Glance's word for a state. */
export function statusOf(state: TaskState): TaskStatus {
  return statuses[state];
}

/** The states that Glance has one word for. */
export function statesOf(status: TaskStatus): readonly TaskState[] {
  return taskStates.filter((state) => statuses[state] === status);
}

/**
 * The words for what a task does. "import" is Glance's own, and means the same there: the service fetches the
 * bytes. What a client sends in, machine or person, is no task in Glance and has no word; it keeps ours, since to
 * call it an import would hide what its reader wants to know. The schema, by which clients check, has all three.
 */
export const taskTypeWords = ['import', 'snapshot', 'upload'] as const;
export type TaskTypeWord = (typeof taskTypeWords)[number];

const typeWords: Readonly<Record<TaskType, TaskTypeWord>> = {
  UPLOAD: 'upload',
  SNAPSHOT: 'snapshot',
  IMPORT: 'import',
};

/** The word for a type. */
export function typeWordOf(type: TaskType): TaskTypeWord {
  return typeWords[type];
}

/** The type that a word stands for. */
export function typeOfWord(word: TaskTypeWord): TaskType {
  return word.toUpperCase() as Uppercase<TaskTypeWord>;
}
