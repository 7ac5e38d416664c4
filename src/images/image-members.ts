import { LockMode } from '@mikro-orm/core';
import type { Caller } from '../access/caller.ts';
import { findSeenImage, imageNotFound, lockImage, readImage } from '../access/find-image.ts';
import { isOwn, visibleProject } from '../access/rights.ts';
import type { Settings } from '../config/settings.ts';
import type { Database } from '../database/database.ts';
import { databaseTime } from '../database/database-time.ts';
import { readRuns } from '../database/read-runs.ts';
import { DarkroomError, invalidField } from '../domain/darkroom-error.ts';
import { FieldChecks } from '../domain/field-checks.ts';
import { quoted } from '../domain/quoted.ts';
import { readPage, type Keyset } from '../lists/keyset.ts';
import type { Page } from '../lists/page.ts';
import { checkProjectId } from '../records/field-limits.ts';
import { parseId, type ImageId } from '../records/ids.ts';
import { memberEtagOf, ImageMember, memberStatuses } from '../records/image-member.ts';
import {
  memberExists,
  memberNotFound,
  notShared,
  notTheMember,
  tooManyMembers,
} from './member-errors.ts';
import type { ListMembersRequest, MemberRequest, UpdateMemberRequest } from './member-requests.ts';

/**
 * The projects that images are shared with. Who sees what is as in Glance: an image's own project sees all its members,
 * and adds and removes them; a member sees itself alone, and alone says whether it accepts. Unlike there, the own project
 * sees and removes them while the image is not SHARED, too: so nobody has to show an image in order to clear its members.
 */
export class ImageMembers {
  readonly #database: Database;
  readonly #maxMembers: number;

  constructor(database: Database, settings: Pick<Settings, 'maxImageMembers'>) {
    this.#database = database;
    this.#maxMembers = settings.maxImageMembers;
  }

  /**
   * Shares an image with one more project.
   *
   * @throws DarkroomError FIELD_INVALID, IMAGE_NOT_FOUND, IMAGE_NOT_OWNED, IMAGE_STATE_INVALID, IMAGE_NOT_SHARED,
   *   MEMBER_EXISTS, TOO_MANY_MEMBERS
   */
  async add(caller: Caller, request: MemberRequest): Promise<ImageMember> {
    const { imageId, memberProjectId } = parseMember(request);
    return this.#database.fork().transactional(async (em) => {
      // All who share it wait for each other here, so that none of them comes past the limit.
      const image = await lockImage(em, caller, imageId);
      if (image.state === 'DELETED') {
        throw new DarkroomError(
          'IMAGE_STATE_INVALID',
          `Image ${imageId} is DELETED since ${image.deleteTime?.toISOString()} and is shared with nobody any more.`,
          { metadata: { image_id: imageId, state: image.state } },
        );
      }
      if (image.visibility !== 'SHARED') {
        throw notShared(image);
      }
      if (memberProjectId === image.projectId) {
        throw invalidField(
          'member_project_id',
          'must be another project: the image’s own sees it anyway',
        );
      }
      if (await em.findOne(ImageMember, { imageId, memberProjectId })) {
        throw memberExists(image, memberProjectId);
      }
      if ((await em.count(ImageMember, { imageId })) >= this.#maxMembers) {
        throw tooManyMembers(image, this.#maxMembers);
      }
      const now = await databaseTime(em);
      const member = em.create(ImageMember, {
        imageId,
        memberProjectId,
        status: 'PENDING',
        version: 1,
        createTime: now,
        updateTime: now,
      });
      em.persist(member);
      return member;
    });
  }

  /**
   * Lists the members of an image that the caller may see, by their projects, in pages.
   *
   * @throws DarkroomError FIELD_INVALID, PAGE_TOKEN_INVALID, IMAGE_NOT_FOUND, IMAGE_NOT_SHARED
   */
  async list(caller: Caller, request: ListMembersRequest): Promise<Page<ImageMember>> {
    const image = await readImage(
      this.#database,
      caller,
      parseId<ImageId>(request.imageId, 'image_id'),
    );
    const own = isOwn(caller, image);
    if (!own && image.visibility !== 'SHARED') {
      throw notShared(image);
    }
    const run = own
      ? { sql: 'image_id = ?', values: [image.id] }
      : {
          sql: 'image_id = ? and member_project_id = ?',
          values: [image.id, visibleProject(caller)],
        };
    const query = { list: 'members', imageId: image.id, projectId: visibleProject(caller) };
    return readPage(request, query, memberKeyset, ({ after, orderBy, limit }) =>
      readRuns(this.#database, ImageMember, visibleProject(caller), {
        name: `${own ? 'an image' : 'a project'}${after ? ', further' : ''}`,
        isPrepared: true,
        runs: [run],
        after,
        orderBy,
        limit,
      }),
    );
  }

  /**
   * Reads one membership.
   *
   * @throws DarkroomError FIELD_INVALID, IMAGE_NOT_FOUND, IMAGE_NOT_SHARED, MEMBER_NOT_FOUND
   */
  async get(caller: Caller, request: MemberRequest): Promise<ImageMember> {
    const { imageId, memberProjectId } = parseMember(request);
    const image = await readImage(this.#database, caller, imageId);
    if (!isOwn(caller, image) && image.visibility !== 'SHARED') {
      throw notShared(image);
    }
    const projectId = visibleProject(caller);
    const mayKnow = isOwn(caller, image) || memberProjectId === projectId;
    const [member] = mayKnow
      ? await readRuns(this.#database, ImageMember, projectId, {
          name: 'one',
          isPrepared: true,
          runs: [
            { sql: 'image_id = ? and member_project_id = ?', values: [imageId, memberProjectId] },
          ],
          orderBy: 'image_id',
          limit: 1,
        })
      : [];
    if (!member?.row) {
      throw memberNotFound(image, memberProjectId);
    }
    return member.row;
  }

  /**
   * Has the member itself say whether it accepts. The same again changes nothing.
   *
   * @throws DarkroomError FIELD_INVALID, IMAGE_NOT_FOUND, IMAGE_NOT_SHARED, MEMBER_NOT_FOUND, MEMBER_NOT_CALLER,
   *   ETAG_MISMATCH
   */
  async update(caller: Caller, request: UpdateMemberRequest): Promise<ImageMember> {
    const checks = new FieldChecks();
    const id = checks.attempt(() => parseId<ImageId>(request.imageId, 'member.image_id'));
    const { memberProjectId } = request;
    checkProjectId(checks, 'member.member_project_id', memberProjectId);
    checkPaths(checks, request.paths);
    const status = checks.oneOf('member.status', request.status ?? 'UNSPECIFIED', memberStatuses);
    const { imageId, wanted } = checks.settle({ imageId: id, wanted: status });
    const projectId = visibleProject(caller);
    return this.#database.fork().transactional(async (em) => {
      const image = await findSeenImage(em, projectId, imageId);
      if (!image) {
        throw imageNotFound(imageId);
      }
      if (memberProjectId !== projectId) {
        throw (isOwn(caller, image) ? notTheMember : memberNotFound)(image, memberProjectId);
      }
      if (image.visibility !== 'SHARED') {
        throw notShared(image);
      }
      const member = await em.findOne(
        ImageMember,
        { imageId, memberProjectId },
        { lockMode: LockMode.PESSIMISTIC_WRITE },
      );
      if (!member) {
        // Just removed, so that the image is not seen any more; or the image's own project.
        throw memberNotFound(image, memberProjectId);
      }
      requireMemberEtag(member, request.etag);
      if (member.status !== wanted) {
        member.status = wanted;
        member.version += 1;
        member.updateTime = await databaseTime(em);
      }
      return member;
    });
  }

  /**
   * Shares an image with a project no more.
   *
   * @throws DarkroomError FIELD_INVALID, IMAGE_NOT_FOUND, IMAGE_NOT_OWNED, MEMBER_NOT_FOUND
   */
  async remove(caller: Caller, request: MemberRequest): Promise<void> {
    const { imageId, memberProjectId } = parseMember(request);
    await this.#database.fork().transactional(async (em) => {
      const image = await lockImage(em, caller, imageId);
      if ((await em.nativeDelete(ImageMember, { imageId, memberProjectId })) === 0) {
        throw memberNotFound(image, memberProjectId);
      }
    });
  }
}

/** Members are few: their order needs no index. */
const memberKeyset: Keyset<ImageMember> = {
  columns: [
    { sql: 'member_project_id collate "C"', kind: 'text', of: (member) => member.memberProjectId },
  ],
  direction: 'asc',
};

function parseMember(request: MemberRequest): {
  readonly imageId: ImageId;
  readonly memberProjectId: string;
} {
  const checks = new FieldChecks();
  const imageId = checks.attempt(() => parseId<ImageId>(request.imageId, 'image_id'));
  const { memberProjectId } = request;
  checkProjectId(checks, 'member_project_id', memberProjectId);
  return { ...checks.settle({ imageId }), memberProjectId };
}

function checkPaths(checks: FieldChecks, paths: readonly string[]): void {
  if (paths.length === 0) {
    checks.add('update_mask', 'must name what is to change: status');
  }
  for (const path of new Set(paths)) {
    if (path !== 'status') {
      checks.add('update_mask', `must not name ${quoted(path)}; it may name status`);
    }
  }
}

function requireMemberEtag(member: ImageMember, etag: string): void {
  if (etag !== '' && etag !== memberEtagOf(member)) {
    throw new DarkroomError(
      'ETAG_MISMATCH',
      `The membership was changed since this etag was read, last at ${member.updateTime.toISOString()}. Read it and ` +
        'decide again, with its new etag.',
      { metadata: { image_id: member.imageId } },
    );
  }
}
