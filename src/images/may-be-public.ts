import type { Caller } from '../access/caller.ts';
import { publicImagesBy } from '../access/policy.ts';
import { requireRole } from '../access/rights.ts';
import type { Settings } from '../config/settings.ts';
import type { Visibility } from '../records/image.ts';

/** The setting of who may make images PUBLIC. */
export type PublicSetting = Pick<Settings, 'publicImagesBy'>;

/**
 * Makes sure that a caller may give an image a visibility that it did not have.
 *
 * @throws DarkroomError ROLE_INSUFFICIENT
 */
export function requireMayShow(
  caller: Caller,
  visibility: Visibility | undefined,
  settings: PublicSetting,
): void {
  if (visibility === 'PUBLIC') {
    requireRole(caller, publicImagesBy[settings.publicImagesBy], 'making an image PUBLIC');
  }
}
