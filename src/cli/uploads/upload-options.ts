import type { ConnectionOptions } from '../profiles/connection.ts';
import type { NewImageOptions } from './new-image.ts';

/** What `darkroom upload` may be told. */
export interface UploadOptions extends ConnectionOptions, NewImageOptions {
  readonly json?: boolean;
  readonly format?: string;
  readonly quiet?: boolean;
  /** Goes on with the upload of this task. */
  readonly task?: string;
  /** Begins anew, whatever was begun before. */
  readonly new?: boolean;
  /** In bytes. */
  readonly size?: number;
  readonly sha256?: string;
  readonly sha512?: string;
  readonly header?: Readonly<Record<string, string>>;
  readonly detach?: boolean;
  /** In ms. */
  readonly idleTimeout?: number;
}
