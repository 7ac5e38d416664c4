/**
 * SQL: the row of an id that PostgreSQL shows to a project, as a table of that name: behind the second wall, within a
 * transaction, whose connection is not one of those that read for callers (`Database.runForProjects`). By a function
 * (migration 0006), which takes longer to enter than the row to read.
 */
export function shownRow(table: string, id: string, project: string): string {
  return `${table}_for_project(${id}, ${project}) as ${table}`;
}
