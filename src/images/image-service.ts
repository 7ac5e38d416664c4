import type { Database } from '../database/database.ts';
import type { Caller } from '../access/caller.ts';
import { parseId, type ImageId } from '../records/ids.ts';
import type { Image } from '../records/image.ts';
import type { Page } from '../lists/page.ts';
import type { SecretKeys } from '../secrets/secret-keys.ts';
import type { ReachPolicy } from '../imports/reach-policy.ts';
import { createImage, type CreatedImage } from './create-image.ts';
import { deleteImage } from './delete-image.ts';
import { readImage, readOwnImage } from '../access/find-image.ts';
import type {
  CreateImageRequest,
  DeleteImageRequest,
  ListImagesRequest,
  UpdateImageRequest,
} from './image-requests.ts';
import { makerFor } from '../access/maker-for.ts';
import { readImageView, type ImageView } from './image-view.ts';
import { listImages } from './list-images.ts';
import type { NewImageSettings } from './new-image.ts';
import { updateImage, updateImageAsItIs, type ImageChangeRequest } from './update-image.ts';

/** What the image service is made of. */
export interface ImageServiceOptions {
  readonly database: Database;
  readonly settings: NewImageSettings;
  /** What imports may reach. */
  readonly reach: ReachPolicy;
  /** What imports send to their sources is encrypted by. */
  readonly secretKeys: SecretKeys;
  /** Called with a project before an image of it is made. */
  readonly beforeImage?: (projectId: string) => Promise<void>;
  /** Called after a commit that left an import to be fetched. */
  readonly onImportDue?: () => void;
  /** Called after a commit that left blobs to be removed, so that they need not wait for the next round. */
  readonly onBlobsReleased?: () => void;
}

/**
 * Keeps images: what they are called and what is known of them. Their bytes come by uploads and their
 * history is that of their tasks. Every method throws DarkroomError on purpose, and no other.
 */
export class ImageService {
  readonly #database: Database;
  readonly #settings: NewImageSettings;
  readonly #reach: ReachPolicy;
  readonly #secretKeys: SecretKeys;
  readonly #beforeImage: (projectId: string) => Promise<void>;
  readonly #onImportDue: () => void;
  readonly #onBlobsReleased: () => void;

  constructor(options: ImageServiceOptions) {
    this.#database = options.database;
    this.#settings = options.settings;
    this.#reach = options.reach;
    this.#secretKeys = options.secretKeys;
    this.#beforeImage = options.beforeImage ?? (() => Promise.resolve());
    this.#onImportDue = options.onImportDue ?? (() => {});
    this.#onBlobsReleased = options.onBlobsReleased ?? (() => {});
  }

  /**
   * Makes an image and the task that is to bring its bytes. Idempotent by the request id, and by the id of the image.
   *
   * @throws DarkroomError FIELD_INVALID, ROLE_INSUFFICIENT, PROJECT_NOT_ALLOWED, REQUEST_ID_REUSED, IMAGE_EXISTS, QUOTA_EXCEEDED; for an import SOURCE_FORBIDDEN,
   *   SOURCE_SCHEME_UNSUPPORTED, IMAGE_NOT_FOUND, IMAGE_STATE_INVALID.
   */
  async createImage(caller: Caller, request: CreateImageRequest): Promise<CreatedImage> {
    const maker = makerFor(caller, request.projectId, 'an image');
    await this.#beforeImage(maker.projectId);
    const created = await createImage(
      this.#database,
      this.#settings,
      this.#reach,
      this.#secretKeys,
      maker,
      request,
    );
    if (request.source?.kind === 'copy_from') {
      this.#onImportDue();
    }
    return created;
  }

  /**
   * Reads an image that the caller may see; of its own project a deleted one, too.
   *
   * @throws DarkroomError FIELD_INVALID, IMAGE_NOT_FOUND
   */
  async getImage(caller: Caller, imageId: string): Promise<ImageView> {
    const id = parseId<ImageId>(imageId, 'image_id');
    return readImageView(this.#database, caller, await readImage(this.#database, caller, id));
  }

  /**
   * Reads an image of the caller's own project.
   *
   * @throws DarkroomError FIELD_INVALID, IMAGE_NOT_FOUND, IMAGE_NOT_OWNED
   */
  async getOwnImage(caller: Caller, imageId: string): Promise<Readonly<Image>> {
    return readOwnImage(this.#database, caller, parseId<ImageId>(imageId, 'image_id'));
  }

  /**
   * Lists the images that the caller may see, in pages.
   *
   * @throws DarkroomError FIELD_INVALID, PAGE_TOKEN_INVALID
   */
  listImages(caller: Caller, request: ListImagesRequest): Promise<Page<ImageView>> {
    return listImages(this.#database, caller, request);
  }

  /**
   * Changes the fields of an image that the request names.
   *
   * @throws DarkroomError FIELD_INVALID, IMAGE_NOT_FOUND, IMAGE_NOT_OWNED, IMAGE_STATE_INVALID,
   *   ETAG_MISMATCH, ROLE_INSUFFICIENT
   */
  updateImage(caller: Caller, request: UpdateImageRequest): Promise<ImageView> {
    return updateImage(this.#database, this.#settings, caller, request);
  }

  /**
   * Changes an image by what it is: nobody else changes it in between.
   *
   * @param decide is given the image; what it throws goes to the caller.
   * @throws DarkroomError as `updateImage`.
   */
  updateImageAsItIs(
    caller: Caller,
    imageId: ImageId,
    decide: (image: Readonly<Image>) => ImageChangeRequest,
  ): Promise<ImageView> {
    return updateImageAsItIs(this.#database, this.#settings, caller, imageId, decide);
  }

  /**
   * Deletes an image with its bytes; the record stays. Idempotent.
   *
   * @throws DarkroomError FIELD_INVALID, IMAGE_NOT_FOUND, IMAGE_NOT_OWNED, ETAG_MISMATCH, IMAGE_PROTECTED
   */
  deleteImage(caller: Caller, request: DeleteImageRequest): Promise<ImageView> {
    return deleteImage(this.#database, caller, request, this.#onBlobsReleased);
  }
}
