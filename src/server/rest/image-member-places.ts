import { DarkroomError, invalidField } from '../../domain/darkroom-error.ts';
import type { ImageMembers } from '../../images/image-members.ts';
import type { ImageMember } from '../../records/image-member.ts';
import type { StreamPace } from '../../uploads/receiving/stream-watchdog.ts';
import { sendJson, type HttpCall } from '../http/http-endpoints.ts';
import { imageIdIn, subject } from './id-in-path.ts';
import { imagePath } from './image-view.ts';
import { jsonBody } from './json-body.ts';
import type { Place } from './place.ts';
import { sendNothing, sendView } from './rest-answer.ts';
import { RestError } from './rest-error.ts';
import { timeOf } from './task-view.ts';

/** What it takes to keep the members of images. */
export interface ImageMemberPlacesParts {
  readonly members: ImageMembers;
  /** What clients must keep up that send a request. */
  readonly pace: StreamPace;
}

/** A project that an image is shared with, as Glance tells it. */
interface MemberView {
  readonly member_id: string;
  readonly image_id: string;
  readonly status: string;
  readonly created_at: string;
  readonly updated_at: string;
  readonly schema: '/v2/schemas/member';
}

/** With whom images are shared, and what those say to it. */
export function imageMemberPlaces({ members, pace }: ImageMemberPlacesParts): readonly Place[] {
  async function sendMembers(call: HttpCall): Promise<void> {
    const imageId = imageIdIn(call);
    const all: MemberView[] = [];
    let pageToken = '';
    do {
      const request = { imageId, pageSize: pageOfMembers, pageToken };
      const page = await members.list(call.context.caller, request);
      all.push(...page.rows.map(memberView));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    sendView(call, { members: all, schema: '/v2/schemas/members' });
  }

  async function addMember(call: HttpCall): Promise<void> {
    const imageId = subject(call);
    const memberProjectId = textIn(await jsonBody(call, pace), 'member', 'the id of a project');
    const member = await members.add(call.context.caller, { imageId, memberProjectId });
    sendDone(call, member);
  }

  async function sendMember(call: HttpCall): Promise<void> {
    const request = { imageId: imageIdIn(call), memberProjectId: memberIn(call) };
    // As in Glance: who may not know whether it is there learns nothing else either.
    const member = await members.get(call.context.caller, request).catch((error: unknown) => {
      const isHidden = error instanceof DarkroomError && error.reason === 'IMAGE_NOT_SHARED';
      throw isHidden ? RestError.of(error, 404) : error;
    });
    sendView(call, memberView(member));
  }

  async function answerAsMember(call: HttpCall): Promise<void> {
    const imageId = subject(call);
    const status = textIn(await jsonBody(call, pace), 'status', statuses);
    if (!/^(pending|accepted|rejected)$/.test(status)) {
      throw invalidField('status', `must be ${statuses}`);
    }
    const member = await members.update(call.context.caller, {
      imageId,
      memberProjectId: memberIn(call),
      status: status.toUpperCase(),
      etag: '',
      paths: ['status'],
    });
    sendDone(call, member);
  }

  async function removeMember(call: HttpCall): Promise<void> {
    const request = { imageId: subject(call), memberProjectId: memberIn(call) };
    await members.remove(call.context.caller, request);
    sendNothing(call);
  }

  return [
    { path: `${imagePath(':id')}/members`, methods: { GET: sendMembers, POST: addMember } },
    {
      path: `${imagePath(':id')}/members/:member`,
      methods: { GET: sendMember, PUT: answerAsMember, DELETE: removeMember },
    },
  ];
}

/** Glance does not page them. */
const pageOfMembers = 1000;
const statuses = 'one of pending, accepted, rejected';

function sendDone(call: HttpCall, member: ImageMember): void {
  call.response.setHeader('cache-control', 'no-store');
  sendJson(call.response, 200, memberView(member));
}

function memberView(member: Readonly<ImageMember>): MemberView {
  return {
    member_id: member.memberProjectId,
    image_id: member.imageId,
    status: member.status.toLowerCase(),
    created_at: timeOf(member.createTime),
    updated_at: timeOf(member.updateTime),
    schema: '/v2/schemas/member',
  };
}

function memberIn({ params }: HttpCall): string {
  return params['member'] ?? '';
}

/** The one text that a body has to say. @param what for people. */
function textIn(body: unknown, field: string, what: string): string {
  const value: unknown =
    typeof body === 'object' && body !== null ? Reflect.get(body, field) : undefined;
  if (typeof value !== 'string' || value === '') {
    throw invalidField(field, `must be ${what}, in a JSON object: {"${field}": "…"}`);
  }
  return value;
}
