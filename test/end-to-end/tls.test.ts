import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_DiskFormat, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { ImageService, type UploadImageResponse } from '../../gen/darkroom/v1/image_service_pb.ts';
import { grpcJsClient, unary } from '../../src/client/grpc-js-client.ts';
import {
  canMakeCertificates,
  Certificates,
  tlsEnv,
  type Identity,
} from '../support/certificates.ts';
import { openChromium } from '../support/chromium.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { hasProgram, hasPythonModule, makeRawImage } from '../support/disk-images.ts';
import { runProgram, type ProgramResult } from '../support/programs.ts';
import { generateStubs } from '../support/python-stubs.ts';
import {
  downloadBytes,
  startService,
  uploadFrames,
  type RunningService,
} from '../support/running-service.ts';

const MiB = 1024 * 1024;
const buf = 'node_modules/.bin/buf';
const python = '/usr/bin/python3';
const hasCurl = hasProgram('curl', 'curl');
const hasChromium = hasProgram('chromium', 'chromium');
const canRunPython =
  hasProgram('qemu-img', 'qemu-utils') &&
  hasProgram('protoc', 'protobuf-compiler') &&
  hasPythonModule(python, 'grpc', 'python3-grpcio') &&
  hasPythonModule(python, 'google.protobuf', 'python3-protobuf');

describe.skipIf(!canMakeCertificates)('a service of two processes that speaks TLS', () => {
  let service: RunningService;
  let host: string;
  let port: string;
  let serverAuthority: Identity;
  let server: Identity;
  let alice: Identity;
  let mallory: Identity;

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    const certificates = await Certificates.open();
    cleanUps.defer(certificates.remove);
    serverAuthority = await certificates.authority('authority of servers');
    server = await certificates.server(serverAuthority);
    const authority = await certificates.authority('authority of clients');
    alice = await certificates.issue(authority, 'alice');
    mallory = await certificates.issue(await certificates.authority('another'), 'mallory');
    service = await startService(
      { ...tlsEnv(server, { clientCa: authority }), DARKROOM_PROCESSES: '2' },
      cleanUps.defer,
    );
    ({ host, port } = new URL(service.process.url));
    return cleanUps.run;
  });

  function imagesOf(who: Identity) {
    const nodeOptions = {
      ca: serverAuthority.cert,
      cert: who.cert,
      key: who.key,
      servername: 'localhost',
    };
    return createClient(
      ImageService,
      createGrpcTransport({ baseUrl: service.process.url, nodeOptions }),
    );
  }

  test('says where it is by https, and how to call it', () => {
    expect(service.process.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const ready = service.process.log.find(({ msg }) => msg?.startsWith('Darkroom is ready'));
    expect(ready?.msg).toMatch(/--cacert <.*> --cert <.*> --key <.*> https:\/\//);
  });

  test('takes large pieces of an upload, and gives them back as they were', async () => {
    const images = imagesOf(alice);
    const { image, task } = await images.createImage({
      image: { name: 'large', diskFormat: Image_DiskFormat.RAW },
      source: { case: 'upload', value: {} },
    });
    const bytes = Buffer.concat([
      randomBytes(24 * MiB),
      Buffer.alloc(8 * MiB),
      randomBytes(MiB + 7),
    ]);
    const frames = uploadFrames(bytes, { taskId: task!.id, chunkBytes: 4 * MiB });
    expect((await images.uploadImage(frames)).image?.state).toBe(Image_State.ACTIVE);
    const downloaded = await downloadBytes(images, image!.id);
    expect(downloaded.bytes.equals(bytes)).toBe(true);
  });

  test('takes an upload of grpc-js', async () => {
    const credentials = grpc.credentials.createSsl(
      Buffer.from(serverAuthority.cert),
      Buffer.from(alice.key),
      Buffer.from(alice.cert),
    );
    const client = grpcJsClient(ImageService, host, {}, credentials);
    const { task } = await unary(client.createImage.bind(client), {
      image: { name: 'grpc-js', diskFormat: Image_DiskFormat.RAW },
      source: { case: 'upload' as const, value: {} },
    });
    const answer = Promise.withResolvers<UploadImageResponse>();
    const stream = client.uploadImage((error, response) =>
      error ? answer.reject(error) : answer.resolve(response!),
    );
    for await (const frame of uploadFrames(randomBytes(5 * MiB), { taskId: task!.id })) {
      if (!stream.write(frame)) {
        await once(stream, 'drain');
      }
    }
    stream.end();
    expect(await answer.promise).toMatchObject({ complete: true });
    client.close();
  });

  test.skipIf(!canRunPython)(
    'takes an upload of gRPC’s C core, which watches it to the end',
    async () => {
      const stubs = await mkdtemp(join(tmpdir(), 'darkroom-stubs-'));
      const disk = await makeRawImage();
      try {
        await generateStubs(stubs);
        const upload = (who: Identity): Promise<ProgramResult> =>
          runProgram(python, [
            'test/clients/upload_client.py',
            `localhost:${port}`,
            stubs,
            disk.path,
            'python',
            '--ca',
            serverAuthority.certFile,
            '--cert',
            who.certFile,
            '--key',
            who.keyFile,
            '--break-at',
            String(5 * MiB),
          ]);
        const { code, output, errors } = await upload(alice);
        expect(code, `${output}\n${errors}`).toBe(0);
        expect(output).toContain('"watched_to_the_end": true');
        expect(output).toContain(disk.sha256);
      } finally {
        await disk.remove();
        await rm(stubs, { recursive: true, force: true });
      }
    },
  );

  describe('is held by openssl s_client', () => {
    async function shake(...options: string[]): Promise<string> {
      const { output, errors } = await runProgram('openssl', [
        's_client',
        '-connect',
        host,
        '-servername',
        'localhost',
        '-CAfile',
        serverAuthority.certFile,
        ...options,
      ]);
      return output + errors;
    }

    test.each([
      [
        'TLS 1.3',
        '-tls1_3',
        /New, TLSv1\.3, Cipher is TLS_AES_128_GCM_SHA256[\s\S]*Verify return code: 0/,
      ],
      ['TLS 1.2', '-tls1_2', /New, TLSv1\.2, Cipher is ECDHE-ECDSA-AES128-GCM-SHA256/],
    ])('to speak %s', async (_, version, expected) => {
      const told = await shake(version);
      expect(told).toMatch(expected);
      expect(told).toMatch(/Acceptable client certificate CA names\s+CN = authority of clients/);
    });

    test.each([
      ['-tls1_1', 'ALL:@SECLEVEL=0', /alert protocol version/],
      ['-tls1', 'ALL:@SECLEVEL=0', /alert protocol version/],
      // Of CBC, without forward secrecy, by a key that is known beforehand, without a certificate.
      ['-tls1_2', 'ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA', /alert handshake failure/],
      ['-tls1_2', 'AES128-GCM-SHA256:AES256-SHA', /alert handshake failure/],
      ['-tls1_2', 'PSK:@SECLEVEL=0', /alert handshake failure|no ciphers available/],
      ['-tls1_2', 'aNULL:@SECLEVEL=0', /alert handshake failure/],
    ])('not to speak %s with %s', async (version, ciphers, alert) => {
      const told = await shake(version, '-cipher', ciphers);
      expect(told).toMatch(alert);
      expect(told).toContain('Cipher is (NONE)');
    });

    test('to agree on HTTP/2, HTTP/1.1, or nothing', async () => {
      expect(await shake('-alpn', 'h2,http/1.1')).toContain('ALPN protocol: h2');
      expect(await shake('-alpn', 'http/1.1')).toContain('ALPN protocol: http/1.1');
      expect(await shake('-alpn', 'spdy/1')).toMatch(/alert no application protocol/);
      expect(await shake()).toContain('No ALPN negotiated');
    });
  });

  describe.skipIf(!hasCurl)('answers curl', () => {
    function curl(path: string, ...options: string[]): Promise<ProgramResult> {
      const trust = ['--cacert', serverAuthority.certFile];
      const shown = ['-sS', '-w', '\n%{http_version} %{http_code}'];
      return runProgram('curl', [
        ...trust,
        ...shown,
        ...options,
        `https://localhost:${port}${path}`,
      ]);
    }
    const as = (who: Identity): string[] => ['--cert', who.certFile, '--key', who.keyFile];

    test.each([
      ['--http2', '2'],
      ['--http1.1', '1.1'],
    ])('by %s', async (version, told) => {
      const answer = await curl('/v2/tasks', version, ...as(alice));
      expect(answer.output).toMatch(new RegExp(`"tasks"[\\s\\S]*\n${told} 200$`));
      for (const who of [[], as(mallory)]) {
        const refused = await curl('/v2/tasks', version, ...who);
        expect(refused.output).toMatch(
          new RegExp(`(?:none was shown|not vouched for)[\\s\\S]*\n${told} 403$`),
        );
        // Probes show none.
        expect((await curl('/readyz', version, ...who)).output).toMatch(/"SERVING"[\s\S]* 200$/);
      }
    });

    test('that it speaks TLS, where it was called without', async () => {
      for (const version of ['--http1.1', '--http2-prior-knowledge']) {
        const { output } = await runProgram('curl', [
          '-sS',
          version,
          `http://localhost:${port}/readyz`,
        ]);
        expect(JSON.parse(output)).toMatchObject({ reason: 'TLS_REQUIRED' });
      }
    });
  });

  test.each(['grpc', 'grpcweb', 'connect'])('answers buf curl over %s', async (protocol) => {
    const { code, output, errors } = await runProgram(buf, [
      'curl',
      '--protocol',
      protocol,
      '--cacert',
      serverAuthority.certFile,
      '--cert',
      alice.certFile,
      '--key',
      alice.keyFile,
      '-d',
      '{}',
      `https://localhost:${port}/darkroom.v1.ImageService/ListImages`,
    ]);
    expect(code, errors).toBe(0);
    expect(JSON.parse(output)).toHaveProperty('images');
  });

  test.skipIf(!hasChromium)('is called by its own page in a browser, over HTTP/2', async () => {
    // The service asks for a certificate, and has health for those who have none.
    const chromium = await openChromium('darkroom.test', ['--ignore-certificate-errors']);
    try {
      const told = await chromium.evaluate(
        `https://localhost:${port}/healthz`,
        `fetch('/grpc.health.v1.Health/Check', {
           method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}',
         }).then(async (answer) => [
           answer.status, await answer.json(), performance.getEntriesByType('resource')[0].nextHopProtocol])`,
      );
      expect(told).toEqual([200, { status: 'SERVING' }, 'h2']);
    } finally {
      await chromium.close();
    }
  });
});
