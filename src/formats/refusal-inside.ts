import { mismatch, Refusal } from './inspection.ts';
import { isFormatName } from './wrong-format.ts';

/**
 * What was thrown at something inside an image, told of the image; anything but a refusal as it is.
 *
 * @param place names what is inside, such as `its disk "a.vmdk"`.
 */
export function refusalInside(thrown: unknown, place: string): unknown {
  if (!(thrown instanceof Refusal)) {
    return thrown;
  }
  const { reason, found, message: clause } = thrown;
  // How to declare it is another matter than for a disk that is not wrapped.
  return reason === 'FORMAT_MISMATCH' && isFormatName(found)
    ? mismatch(found, `${place} is ${found}. Declare the disk_format of what is inside`)
    : new Refusal(reason, found, `${place} cannot be taken: ${clause}`);
}
