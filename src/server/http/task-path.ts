/** Where a task can be read. */
export function taskPath(id: string): string {
  return `/v2/tasks/${id}`;
}
