import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_DiskFormat, Image_State, Image_Visibility } from '../../gen/darkroom/v1/image_pb.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { failureOf } from '../support/failures.ts';
import { connectTo, downloadBytes, uploadFrames } from '../support/running-service.ts';
import { activeImage, disk, startCloud, type Cloud, type Person } from './cloud.ts';

const cleanUps = new CleanUps();
let cloud: Cloud;
let ann: Person;
let reader: Person;
let admin: Person;
let mallory: Person;
const bytes = randomBytes(10_000);
const others = randomBytes(10_000);

beforeAll(async () => {
  cloud = await startCloud({}, cleanUps.defer);
  ann = await cloud.person('garden', 'member');
  reader = await cloud.person('garden', 'reader');
  admin = await cloud.person('garden', 'admin');
  mallory = await cloud.person('elsewhere', 'admin');
  return cleanUps.run;
});

/** Holds that an image is there as it was made. */
async function expectUntouched(imageId: string): Promise<void> {
  const { image } = await ann.images.getImage({ imageId });
  expect(image).toMatchObject({ state: Image_State.ACTIVE, name: 'a disk', protected: false });
  expect((await downloadBytes(ann.images, imageId)).bytes.equals(bytes)).toBe(true);
}

/** Every word of Glance's by which the status of an image, or its owner, was changed over HTTP. */
const words = {
  'x-image-meta-status': 'queued',
  'x-image-meta-owner': 'elsewhere',
  'x-image-meta-is_public': 'true',
  'x-image-meta-deleted': 'true',
  'x-image-meta-protected': 'true',
  'x-glance-registry-purge-props': 'true',
} as const;

/**
 * OSSA-2015-019 (CVE-2015-5251): a header changed an image's status. OSSA-2016-006 (CVE-2016-0757), OSSN-0065, OSSN-0090: an
 * image whose locations were taken away took other bytes. OSSN-0048: a method did what another one was refused.
 */
describe('an ACTIVE image stays what it is', () => {
  test('whatever is sent over plain HTTP', async () => {
    const { imageId } = await activeImage(ann, bytes);
    const patch = JSON.stringify([
      { op: 'replace', path: '/status', value: 'queued' },
      { op: 'remove', path: '/locations/0' },
    ]);
    for (const version of ['v1', 'v2']) {
      for (const place of ['', '/file', '/stage', '/import']) {
        const path = `/${version}/images/${imageId}${place}`;
        for (const method of ['PUT', 'POST', 'PATCH']) {
          const { status } = await ann.rest(method, path, { headers: words, body: patch });
          expect([method, path, status >= 400 && status !== 500]).toEqual([method, path, true]);
        }
        // Nor where another method is said by a header than the one that is asked.
        for (const method of ['PUT', 'DELETE']) {
          const override = { 'x-http-method-override': method, 'x-method-override': method };
          await ann.rest('GET', path, { headers: { ...words, ...override } });
        }
      }
    }
    await expectUntouched(imageId);
  });

  test('whatever fields an update names', async () => {
    const { imageId } = await activeImage(ann, bytes);
    for (const path of [
      'state', 'id', 'project_id', 'created_by', 'sha256', 'size_bytes', 'virtual_size_bytes', 'packed_sha256',
      'latest_task', 'outlook', 'create_time', 'delete_time', 'etag', '*', '', 'image', 'status', 'locations',
    ]) {
      const update = ann.images.updateImage({
        image: { id: imageId, name: 'a disk', state: Image_State.QUEUED, projectId: 'elsewhere' },
        updateMask: { paths: [path] },
      });
      // The gate refuses who names another project before a field is looked at.
      const wrong = /^(?:FIELD_INVALID|PROJECT_NOT_ALLOWED)$/;
      expect([path, (await failureOf(update)).reason]).toEqual([path, expect.stringMatching(wrong)]);
    }
    // What its bytes are said to be can be set before they come.
    const formats = ann.images.updateImage({
      image: { id: imageId, diskFormat: Image_DiskFormat.QCOW2 },
      updateMask: { paths: ['disk_format'] },
    });
    expect((await failureOf(formats)).reason).toBe('IMAGE_STATE_INVALID');
    await expectUntouched(imageId);
  }); // prettier-ignore

  test('whatever a patch of the REST view names', async () => {
    const { imageId } = await activeImage(ann, bytes);
    for (const name of [
      'status', 'id', 'owner', 'size', 'checksum', 'os_hash_algo', 'os_hash_value', 'virtual_size', 'locations', 'locations/-',
      'locations/0', 'location', 'file', 'direct_url', 'deleted', 'deleted_at', 'created_at', 'self', 'schema', 'stores',
      'disk_format', 'container_format', 'os_glance_import_task',
    ]) {
      for (const op of ['add', 'replace', 'remove']) {
        const { status } = await ann.rest('PATCH', `/v2/images/${imageId}`, {
          headers: { 'content-type': 'application/openstack-images-v2.1-json-patch', ...words },
          body: JSON.stringify([{ op, path: `/${name}`, ...(op !== 'remove' && { value: 'queued' }) }]),
        });
        expect([op, name, status >= 400 && status < 500]).toEqual([op, name, true]);
      }
    }
    await expectUntouched(imageId);
  }); // prettier-ignore

  test('and one that is deactivated gives its bytes to nobody but an admin, by any road, until it is reactivated', async () => {
    const { imageId } = await activeImage(ann, bytes);
    const act = (action: string) =>
      admin.rest('POST', `/v2/images/${imageId}/actions/${action}`).then(({ status }) => status);
    expect(await act('deactivate')).toBe(204);
    const seen = { GetImage: 'ok', 'GET image': 'ok' };
    for (const who of [ann, reader]) {
      expect(await outcomesOf(roadsTo(who, imageId))).toEqual({ ...allRoads('refused'), ...seen });
    }
    expect((await downloadBytes(admin.images, imageId)).bytes.equals(bytes)).toBe(true);
    await ann.rest('PATCH', `/v2/images/${imageId}`, {
      headers: { 'content-type': 'application/openstack-images-v2.1-json-patch', ...words },
      body: JSON.stringify([{ op: 'replace', path: '/status', value: 'active' }]),
    });
    expect(await outcomesOf(roadsTo(ann, imageId))).toEqual({ ...allRoads('refused'), ...seen });
    expect(await act('reactivate')).toBe(204);
    await expectUntouched(imageId);
  });

  test('whatever is uploaded, resumed, retried or cancelled afterwards', async () => {
    const { imageId, taskId } = await activeImage(ann, bytes);
    const calls = {
      UploadImage: ann.images.uploadImage(uploadFrames(others, { taskId })),
      'UploadChunk over it': ann.images.uploadChunk({ taskId, offset: 0n, data: others }),
      'UploadChunk after it': ann.images.uploadChunk({
        taskId,
        offset: BigInt(bytes.length),
        data: others,
      }),
      // It is answered that the image is whole, and gives nobody a right to write.
      'UploadImage resumed': ann.images
        .resumeUpload({ taskId })
        .then(({ writerEpoch }) =>
          ann.images.uploadImage(uploadFrames(others, { taskId, writerEpoch })),
        ),
      RetryTask: ann.tasks.retryTask({ taskId }),
      CancelTask: ann.tasks.cancelTask({ taskId }),
      ReportFault: ann.tasks.reportFault({
        taskId,
        code: 13,
        reason: 'X',
        message: 'x',
        fatal: true,
      }),
    };
    expect(await outcomesOf(calls)).toEqual(
      Object.fromEntries(Object.keys(calls).map((name) => [name, 'refused'])),
    );
    await expectUntouched(imageId);
  });

  test('and its properties do not stand where the REST view tells what the service knows', async () => {
    const properties = {
      status: 'active',
      owner: 'elsewhere',
      id: 'x',
      os_hash_value: '00',
      size: '1',
      visibility: 'public',
      locations: 'file:///etc/passwd',
      direct_url: 'file:///etc/passwd',
      __proto__: 'x',
      constructor: 'x',
    };
    const { image } = await ann.images.createImage({
      image: { ...disk('queued'), properties },
      source: { case: 'upload', value: {} },
    });
    const { body } = await ann.rest('GET', `/v2/images/${image!.id}`);
    const told = JSON.parse(body.toString()) as Record<string, unknown>;
    expect(told).toMatchObject({
      id: image!.id,
      status: 'queued',
      owner: 'garden',
      os_hash_value: null,
      size: null,
      visibility: 'private',
    });
    expect(Object.keys(told)).not.toContain('locations');
    expect(Object.keys(told)).not.toContain('direct_url');
  });
});

/** OSSN-0075: who knew the id of an image that was purged could make another one of that id. */
describe('an id stands for one image, ever', () => {
  test('nobody makes another image of an id that there is or was', async () => {
    const { imageId: gone } = await activeImage(ann, bytes);
    await ann.images.deleteImage({ imageId: gone });
    const { imageId: there } = await activeImage(ann, bytes);
    for (const imageId of [gone, there]) {
      for (const who of [ann, admin, mallory]) {
        const create = who.images.createImage({
          image: disk('again'),
          imageId,
          source: { case: 'upload', value: {} },
        });
        expect((await failureOf(create)).reason).toBe('IMAGE_EXISTS');
        const { status } = await who.rest('POST', '/v2/images', {
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({
            id: imageId,
            name: 'again',
            disk_format: 'raw',
            container_format: 'bare',
          }),
        });
        expect(status).toBe(409);
      }
    }
    expect((await ann.images.getImage({ imageId: gone })).image?.state).toBe(Image_State.DELETED);
    await expectUntouched(there);
  });

  test('nobody makes an image that is said to be whole, of others, or elsewhere', async () => {
    for (const [name, value] of [
      ['status', 'active'],
      ['owner', 'elsewhere'],
      ['visibility', 'public'],
      ['locations', [{ url: 'file:///etc/passwd', metadata: {} }]],
      ['location', 'file:///etc/passwd'],
      ['direct_url', 'file:///etc/passwd'],
      ['os_hash_value', '00'],
      ['size', 1],
      ['deleted', true],
      ['os_glance_import_task', 'x'],
    ] as const) {
      const { status } = await ann.rest('POST', '/v2/images', {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          name: 'x',
          disk_format: 'raw',
          container_format: 'bare',
          [name]: value,
        }),
      });
      expect([name, status >= 400 && status < 500]).toEqual([name, true]);
    }
    const elsewhere = ann.images.createImage({
      image: disk('for others'),
      projectId: 'elsewhere',
      source: { case: 'upload', value: {} },
    });
    expect((await failureOf(elsewhere)).reason).toBe('PROJECT_NOT_ALLOWED');
  });

  test('nor makes a deleted image be there again', async () => {
    const { imageId, taskId } = await activeImage(ann, bytes);
    await ann.images.deleteImage({ imageId });
    const refused = await Promise.all(
      [
        ann.images.updateImage({
          image: { id: imageId, name: 'x' },
          updateMask: { paths: ['name'] },
        }),
        ann.images.uploadImage(uploadFrames(others, { taskId })),
        ann.tasks.retryTask({ taskId }),
      ].map(async (call) => (await failureOf(call)).reason),
    );
    expect(refused).not.toContain(undefined);
    expect((await ann.rest('GET', `/v2/images/${imageId}/file`)).status).toBeGreaterThanOrEqual(
      400,
    );
  });
});

/**
 * OSSA-2012-017 (CVE-2012-4573, CVE-2012-5482): everybody deleted everybody's images. OSSA-2013-027 (CVE-2013-4428): what had
 * been handed out once was handed out to all, from a cache that asked nobody.
 */
describe('an image of another project', () => {
  const outcomes = (who: Person, imageId: string) => outcomesOf(roadsTo(who, imageId));

  test('is neither deleted nor read, by any road and method', async () => {
    const { imageId, taskId } = await activeImage(ann, bytes);
    const changes = [
      () => mallory.images.deleteImage({ imageId }),
      () =>
        mallory.images.updateImage({
          image: { id: imageId, visibility: Image_Visibility.COMMUNITY },
          updateMask: { paths: ['visibility'] },
        }),
      () => mallory.images.addImageMember({ imageId, memberProjectId: 'elsewhere' }),
      () => mallory.tasks.cancelTask({ taskId }),
      () => mallory.tasks.retryTask({ taskId }),
    ];
    for (const change of changes) {
      expect((await failureOf(change())).code).toBe('NotFound');
    }
    for (const version of ['v1', 'v2']) {
      await mallory.rest('DELETE', `/${version}/images/${imageId}`);
      await mallory.rest('DELETE', `/${version}/images/${imageId}/file`);
    }
    expect(await outcomes(mallory, imageId)).toEqual(allRoads('refused'));
    await expectUntouched(imageId);
  });

  test('that was read while it was shared is not once it is not, by any road', async () => {
    const { imageId } = await activeImage(ann, bytes, { visibility: Image_Visibility.SHARED });
    await ann.images.addImageMember({ imageId, memberProjectId: 'elsewhere' });
    const { etag } = Object.fromEntries(
      (await mallory.rest('GET', `/v2/images/${imageId}/file`)).headers,
    ) as { etag: string };
    expect(await outcomes(mallory, imageId)).toEqual({ ...allRoads('ok'), 'if none match': 'ok' });
    await ann.images.removeImageMember({ imageId, memberProjectId: 'elsewhere' });
    expect(await outcomes(mallory, imageId)).toEqual(allRoads('refused'));
    // Nor is it told that what they have is what there still is.
    const { status } = await mallory.rest('GET', `/v2/images/${imageId}/file`, {
      headers: { 'if-none-match': etag },
    });
    expect(status).toBe(404);
  });

  test('is not told of by who is only told that it is there', async () => {
    const { imageId, taskId } = await activeImage(ann, bytes, {
      visibility: Image_Visibility.COMMUNITY,
    });
    const { image } = await mallory.images.getImage({ imageId });
    expect(image).toMatchObject({ latestTask: '' });
    expect(image?.lastFault).toBeUndefined();
    for (const path of [`/v2/tasks/${taskId}`, `/v2/images/${imageId}/tasks`]) {
      expect((await mallory.rest('GET', path)).status).toBe(path.includes('/images/') ? 403 : 404);
    }
  });
});

/** OSSN-0005: shared images stood in the lists of those who had not asked for them. OSSN-0015: everybody published. */
describe('the lists of others', () => {
  const named = async (who: Person, name: string) =>
    (await who.images.listImages({ filter: { name } })).images.length;

  test('have a shared image only once they have accepted it', async () => {
    const name = `shared ${randomBytes(4).toString('hex')}`;
    const { imageId } = await activeImage(ann, bytes, {
      name,
      visibility: Image_Visibility.SHARED,
    });
    await ann.images.addImageMember({ imageId, memberProjectId: 'elsewhere' });
    expect(await named(mallory, name)).toBe(0);
    // Nobody accepts for another project, an admin of the owner's neither.
    for (const who of [ann, admin]) {
      const accept = who.images.updateImageMember({
        member: { imageId, memberProjectId: 'elsewhere', status: 2 },
        updateMask: { paths: ['status'] },
      });
      expect((await failureOf(accept)).reason).toBeDefined();
    }
    expect(await named(mallory, name)).toBe(0);
  });

  test('have no public image but an admin’s', async () => {
    const name = `public ${randomBytes(4).toString('hex')}`;
    for (const visibility of [Image_Visibility.PUBLIC]) {
      const create = ann.images.createImage({
        image: { ...disk(name), visibility },
        source: { case: 'upload', value: {} },
      });
      expect((await failureOf(create)).reason).toBe('ROLE_INSUFFICIENT');
      const { imageId } = await activeImage(ann, bytes, { name });
      const update = ann.images.updateImage({
        image: { id: imageId, visibility },
        updateMask: { paths: ['visibility'] },
      });
      expect((await failureOf(update)).reason).toBe('ROLE_INSUFFICIENT');
    }
    expect(await named(mallory, name)).toBe(0);
  });
});

/** OSSA-2026-001: headers by which a proxy says who calls were taken from anybody. OSSN-0055, OSSN-0060. */
describe('who calls is who the token says', () => {
  const forged = {
    'x-identity-status': 'Confirmed',
    'x-roles': 'admin',
    'x-role': 'admin',
    'x-user-id': 'root',
    'x-project-id': 'garden',
    'x-tenant-id': 'garden',
    'x-tenant': 'garden',
    'x-is-admin-project': 'True',
    'x-service-roles': 'service',
    'x-service-token': 'x',
    'x-forwarded-user': 'root',
    'x-forwarded-for': '127.0.0.1',
    'x-ssl-client-cert': 'x',
    'x-ssl-client-verify': 'SUCCESS',
    forwarded: 'for=127.0.0.1',
  };

  test('no header of a proxy makes anybody somebody else', async () => {
    const { imageId } = await activeImage(ann, bytes);
    const { url } = cloud.service.process;
    const asReader = connectTo(url, { ...reader.headers, ...forged });
    expect((await failureOf(asReader.images.deleteImage({ imageId }))).reason).toBe(
      'ROLE_INSUFFICIENT',
    );
    const asMallory = connectTo(url, { ...mallory.headers, ...forged });
    expect((await failureOf(asMallory.images.getImage({ imageId }))).reason).toBe(
      'IMAGE_NOT_FOUND',
    );
    const asNobody = connectTo(url, forged);
    expect((await failureOf(asNobody.images.getImage({ imageId }))).code).toBe('Unauthenticated');
    const { status } = await fetch(`${url}/v2/images/${imageId}/file`, { headers: forged });
    expect(status).toBe(401);
    await expectUntouched(imageId);
  });

  test('nobody but a service acts for another project', async () => {
    const { imageId } = await activeImage(ann, bytes);
    const { url } = cloud.service.process;
    const acting = connectTo(url, { ...mallory.headers, 'x-darkroom-project': 'garden' });
    expect((await failureOf(acting.images.getImage({ imageId }))).reason).toBe(
      'PROJECT_NOT_ALLOWED',
    );
  });
});

/** Each road to an image and its bytes. */
const roadsTo = (who: Person, imageId: string) => ({
  DownloadImage: downloadBytes(who.images, imageId),
  'GET file': who.rest('GET', `/v2/images/${imageId}/file`).then(throwUnlessOk),
  'HEAD file': who.rest('HEAD', `/v2/images/${imageId}/file`).then(throwUnlessOk),
  'a range': who
    .rest('GET', `/v2/images/${imageId}/file`, { headers: { range: 'bytes=0-9' } })
    .then(throwUnlessOk),
  'if none match': who
    .rest('GET', `/v2/images/${imageId}/file`, { headers: { 'if-none-match': '*' } })
    .then(throwUnlessOk),
  'a copy': who.images.createImage({
    image: disk('copy'),
    source: { case: 'copyFrom', value: { from: { case: 'imageId', value: imageId } } },
  }),
  GetImage: who.images.getImage({ imageId }),
  'GET image': who.rest('GET', `/v2/images/${imageId}`).then(throwUnlessOk),
});

/** What all roads come to. */
const allRoads = (outcome: string): Record<string, string> =>
  Object.fromEntries(
    [
      'DownloadImage',
      'GET file',
      'HEAD file',
      'a range',
      'if none match',
      'a copy',
      'GetImage',
      'GET image',
    ].map((road) => [road, outcome]),
  );

/** Which of the calls were answered, and which refused. */
async function outcomesOf(
  calls: Readonly<Record<string, Promise<unknown>>>,
): Promise<Record<string, string>> {
  const entries = Object.entries(calls).map(async ([name, call]) => [
    name,
    await call.then(
      () => 'ok',
      () => 'refused',
    ),
  ]);
  return Object.fromEntries(await Promise.all(entries)) as Record<string, string>;
}

function throwUnlessOk({ status }: { readonly status: number }): void {
  if (status >= 400 && status !== 412) {
    throw new Error(String(status));
  }
}
