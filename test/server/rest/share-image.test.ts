import { beforeAll, beforeEach, expect, test } from 'vitest';
import { CleanUps } from '../../support/clean-ups.ts';
import { projectTokens } from '../../support/project-tokens.ts';
import { startService } from '../../support/running-service.ts';
import { patchImage, restClient, type RestClient } from './rest-client.ts';

let owner: RestClient;
let friend: RestClient;
let stranger: RestClient;
let reader: RestClient;
let admin: RestClient;
let image: string;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  const { file, tokenOf } = await projectTokens(cleanUps.defer);
  const tokens = {
    owner: tokenOf('garden', 'member'),
    reader: tokenOf('garden', 'reader'),
    friend: tokenOf('friend', 'member'),
    stranger: tokenOf('stranger', 'member'),
    admin: tokenOf('office', 'admin'),
  };
  const service = await startService(
    {
      DARKROOM_TOKENS_FILE: file,
      DARKROOM_PROCESSES: '1',
      DARKROOM_ADMINS_ACT_IN: 'any-project',
    },
    cleanUps.defer,
  );
  const as = (token: string): RestClient => restClient(() => service.process.url, token);
  owner = as(tokens.owner);
  friend = as(tokens.friend);
  stranger = as(tokens.stranger);
  reader = as(tokens.reader);
  admin = as(tokens.admin);
  return cleanUps.run;
});

beforeEach(async () => {
  image = String((await owner('POST', '/v2/images', { name: 'shared' })).body?.['self']);
});

const listed = async (ask: RestClient, query = ''): Promise<boolean> => {
  const { body } = await ask('GET', `/v2/images?limit=1000&${query}`);
  const { images } = body as unknown as { readonly images: readonly { readonly self: string }[] };
  return images.some(({ self }) => self === image);
};

test('an image is shared with a project, which accepts it, and then has it in its lists', async () => {
  expect((await friend('GET', image)).status).toBe(404);
  const added = await owner('POST', `${image}/members`, { member: 'friend' });
  const member = {
    member_id: 'friend',
    image_id: image.split('/').at(-1),
    status: 'pending',
    created_at: expect.any(String) as string,
    updated_at: expect.any(String) as string,
    schema: '/v2/schemas/member',
  };
  expect([added.status, added.body]).toEqual([200, member]);
  const seen = await friend('GET', image);
  expect([seen.status, seen.body?.['status']]).toEqual([200, 'queued']);
  // Tasks are told to the owner alone.
  expect(seen.body).not.toHaveProperty('os_darkroom_task');
  expect([await listed(friend), await listed(friend, 'member_status=pending')]).toEqual([
    false,
    true,
  ]);

  const accepted = await friend('PUT', `${image}/members/friend`, { status: 'accepted' });
  expect([accepted.status, accepted.body]).toEqual([200, { ...member, status: 'accepted' }]);
  expect([await listed(friend), await listed(stranger)]).toEqual([true, false]);
  expect((await owner('GET', `${image}/members`)).body).toEqual({
    members: [accepted.body],
    schema: '/v2/schemas/members',
  });
  expect((await friend('GET', `${image}/members/friend`)).body).toEqual(accepted.body);

  expect((await owner('DELETE', `${image}/members/friend`)).status).toBe(204);
  expect((await friend('GET', image)).status).toBe(404);
  expect((await owner('DELETE', `${image}/members/friend`)).status).toBe(404);
});

test('what is wrong with sharing is told', async () => {
  const share = (member: unknown, ask = owner): ReturnType<RestClient> =>
    ask('POST', `${image}/members`, { member });
  expect((await share('friend')).status).toBe(200);
  const again = await share('friend');
  expect([again.status, again.body?.['reason']]).toEqual([409, 'MEMBER_EXISTS']);
  for (const member of ['', null, 7, undefined]) {
    expect((await share(member)).status).toBe(400);
  }
  expect((await share('x'.repeat(256))).status).toBe(400);
  expect((await share('garden')).status).toBe(400);
  expect((await share('other', friend)).status).toBe(403);
  expect((await share('other', stranger)).status).toBe(404);
  expect((await share('other', reader)).status).toBe(403);
  for (const status of ['maybe', 'ACCEPTED', '', 1, undefined]) {
    expect((await friend('PUT', `${image}/members/friend`, { status })).status).toBe(400);
  }
  const forAnother = await owner('PUT', `${image}/members/friend`, { status: 'accepted' });
  expect([forAnother.status, forAnother.body?.['reason']]).toEqual([403, 'MEMBER_NOT_CALLER']);
  expect((await friend('GET', `${image}/members/other`)).status).toBe(404);
  expect((await stranger('GET', `${image}/members`)).status).toBe(404);

  const id = image.split('/').at(-1);
  await patchImage(owner, id, [{ op: 'replace', path: '/visibility', value: 'community' }]);
  expect((await share('stranger')).status).toBe(403);
  expect((await stranger('GET', `${image}/members`)).status).toBe(403);
  expect((await stranger('GET', `${image}/members/stranger`)).status).toBe(404);
});

test('who sees an image and does not own it changes nothing of it', async () => {
  await owner('POST', `${image}/members`, { member: 'friend' });
  const id = image.split('/').at(-1);
  const before = await owner('GET', image);
  for (const answer of [
    await patchImage(friend, id, [{ op: 'replace', path: '/name', value: 'mine' }]),
    await friend('DELETE', image),
    await friend('PUT', `${image}/tags/mine`),
    await friend('POST', `${image}/actions/deactivate`),
    await friend('DELETE', `${image}/members/friend`),
  ]) {
    expect([answer.status, answer.body?.['reason']]).toEqual([403, 'IMAGE_NOT_OWNED']);
  }
  for (const answer of [
    await patchImage(reader, id, []),
    await reader('DELETE', image),
    await reader('POST', '/v2/images', {}),
  ]) {
    expect([answer.status, answer.body?.['reason']]).toEqual([403, 'ROLE_INSUFFICIENT']);
  }
  expect((await owner('GET', image)).body).toEqual(before.body);
});

test('members make no image public, nor one for others; admins do', async () => {
  const id = image.split('/').at(-1);
  const publish = [{ op: 'replace', path: '/visibility', value: 'public' }];
  expect((await patchImage(owner, id, publish)).status).toBe(403);
  expect((await owner('POST', '/v2/images', { visibility: 'public' })).status).toBe(403);
  expect((await owner('POST', '/v2/images', { owner: 'friend' })).status).toBe(403);
  const published = await admin('POST', '/v2/images', { visibility: 'public', owner: 'friend' });
  expect([published.status, published.body?.['owner']]).toEqual([201, 'friend']);
  const path = String(published.body?.['self']);
  expect((await stranger('GET', path)).status).toBe(200);
  expect((await friend('GET', path)).body).toHaveProperty('os_darkroom_task');
});

test('an admin who acts in any project does with an image what its own project may', async () => {
  const id = image.split('/').at(-1);
  expect((await admin('GET', image)).body).toMatchObject({ owner: 'garden', id });
  const renamed = await patchImage(admin, id, [{ op: 'replace', path: '/name', value: 'seen' }]);
  expect([renamed.status, renamed.body?.['name'], renamed.body?.['owner']]).toEqual([
    200,
    'seen',
    'garden',
  ]);
  expect((await admin('POST', `${image}/members`, { member: 'office' })).status).toBe(200);
  // For the own project, as any member.
  const accepted = await admin('PUT', `${image}/members/office`, { status: 'accepted' });
  expect([accepted.status, accepted.body?.['status']]).toEqual([200, 'accepted']);
  const task = String((await owner('GET', image)).body?.['os_darkroom_task']);
  expect((await admin('GET', task)).body).toMatchObject({ owner: 'garden' });
  expect((await admin('GET', `${image}/tasks`)).status).toBe(200);
  const bytes = await admin('PUT', `${image}/file`, 'x', {
    'content-type': 'application/octet-stream',
  });
  expect(bytes.body?.['reason']).toBe('FORMAT_NOT_SET');
  expect((await admin('DELETE', image)).status).toBe(204);
  expect((await owner('GET', image)).status).toBe(404);
  expect((await admin('GET', `/v2/images/${crypto.randomUUID()}`)).status).toBe(404);
  expect((await admin('GET', '/v2/images/x')).status).toBe(404);
});

test('an admin who acts in any project gives an image to another one, and nobody else does', async () => {
  const id = image.split('/').at(-1);
  const give = (ask: RestClient, value: unknown): ReturnType<RestClient> =>
    patchImage(ask, id, [{ op: 'replace', path: '/owner', value }]);
  expect((await give(owner, 'friend')).status).toBe(403);
  expect((await give(admin, null)).status).toBe(403);
  const given = await give(admin, 'friend');
  expect([given.status, given.body?.['owner']]).toEqual([200, 'friend']);
  expect((await owner('GET', image)).status).toBe(404);
  const { body } = await friend('GET', image);
  expect((await friend('GET', String(body?.['os_darkroom_task']))).body).toMatchObject({
    owner: 'friend',
    status: 'pending',
  });
});
