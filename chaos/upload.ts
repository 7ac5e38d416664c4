import { Acknowledgements } from './acknowledgements.ts';
import type { Journal } from './journal.ts';
import type { UploadPlan } from './upload-plan.ts';

/** One upload as all of its clients know it. */
export class Upload {
  readonly plan: UploadPlan;
  readonly acknowledgements: Acknowledgements;
  /** All tasks of the image so far, the present one last. */
  readonly taskIds: string[] = [];
  imageId = '';
  /** Whether a finish was ever sent: from then on the service may complete the upload by itself. */
  finishSent = false;
  /** Whether bytes were sent on purpose that differ from those that are stored: a retry begins anew then. */
  hasLied = false;
  /** Whether the present task was ended on purpose, so that it is to be retried. */
  endedOnPurpose = false;
  readonly #onTask: (taskId: string) => void;

  /** @param onTask told of each task of the image. */
  constructor(plan: UploadPlan, journal: Journal, onTask: (taskId: string) => void) {
    this.plan = plan;
    this.acknowledgements = new Acknowledgements((sentence) =>
      journal.violate(`${plan.name}: ${sentence}`),
    );
    this.#onTask = onTask;
  }

  get size(): number {
    return this.plan.content.bytes.length;
  }

  /** The present task. @throws before there is one. */
  get taskId(): string {
    const taskId = this.taskIds.at(-1);
    if (taskId === undefined) {
      throw new Error(`${this.plan.name} has no task yet`);
    }
    return taskId;
  }

  /** Goes on with a task. */
  takeTask(taskId: string): void {
    if (!this.taskIds.includes(taskId)) {
      this.taskIds.push(taskId);
      this.endedOnPurpose = false;
      this.finishSent = false;
      this.hasLied = false;
      this.#onTask(taskId);
    }
  }
}
