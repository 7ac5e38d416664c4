/**
 * What callers ask of tasks, as they sent it: nothing is checked yet. Numbers may be out of range or
 * NaN, dates invalid, and words any text.
 */

/** Which tasks a list or a watch shows: those that agree with all that is set; an empty list or map sets nothing. */
export interface TaskFilter {
  readonly states: readonly string[];
  readonly types: readonly string[];
  readonly imageId: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAfter: Date | undefined;
  readonly createdBefore: Date | undefined;
  readonly updatedAfter: Date | undefined;
  readonly updatedBefore: Date | undefined;
  readonly hasFaults: boolean | undefined;
}

/** What ListTasks is asked. */
export interface ListTasksRequest {
  readonly filter: TaskFilter;
  /** Undefined stands for CREATE_TIME_DESC. */
  readonly order: string | undefined;
  readonly pageSize: number;
  readonly pageToken: string;
}

/** What ListFaults is asked. */
export interface ListFaultsRequest {
  /** Whose faults; those of the caller's project if undefined. */
  readonly of:
    | { readonly kind: 'task'; readonly taskId: string }
    | { readonly kind: 'image'; readonly imageId: string }
    | undefined;
  readonly pageSize: number;
  readonly pageToken: string;
}

/** What ListTaskEvents is asked. */
export interface ListTaskEventsRequest {
  readonly taskId: string;
  readonly pageSize: number;
  readonly pageToken: string;
}
