import type { Caller } from '../../access/caller.ts';
import type { UploadFrame } from './upload-frame.ts';
import type { UploadOutcome } from './upload-calls.ts';
import type { UploadConnection } from './upload-stream.ts';

/** The one door for the frames of a stream, whatever reads them off the wire. */
export interface UploadIntake {
  /**
   * Takes the frames of one stream, asking for the next one while the last is written. Resolves when the
   * stream has ended and all is durable, and after a finish when the image is ACTIVE.
   *
   * @param frames rejects with a DarkroomError where the wire breaks; the data of a chunk is the intake's from
   *   then on.
   * @throws DarkroomError any of UploadImage's; what could be kept is durable and the fault recorded.
   */
  receive(
    caller: Caller,
    frames: AsyncIterator<UploadFrame>,
    connection: UploadConnection,
  ): Promise<UploadOutcome>;
}
