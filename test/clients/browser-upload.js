/**
 * What a web console does with Darkroom, with nothing but fetch, written from docs/upload-protocol.md: served to a
 * real browser by test/end-to-end/browser.test.ts.
 */

/** Calls a unary RPC by Connect's JSON. */
async function call(baseUrl, method, message) {
  const response = await fetch(`${baseUrl}/darkroom.v1.${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'connect-protocol-version': '1' },
    body: JSON.stringify(message),
  });
  return readAnswer(response);
}

/** Calls an RPC without side effects by a plain GET, which needs no preflight and can be cached. */
async function get(baseUrl, method, message) {
  const query = new URLSearchParams({
    connect: 'v1',
    encoding: 'json',
    message: JSON.stringify(message),
  });
  const response = await fetch(`${baseUrl}/darkroom.v1.${method}?${query}`);
  return { ...(await readAnswer(response)), etag: response.headers.get('etag') };
}

async function readAnswer(response) {
  const answer = await response.json();
  const requestId = response.headers.get('x-request-id');
  return response.ok ? { ...answer, requestId } : { error: answer, requestId };
}

/** Calls a server-streaming RPC: each message is a flag, a length of 4 bytes, and JSON. */
async function* stream(baseUrl, method, message) {
  const json = new TextEncoder().encode(JSON.stringify(message));
  const body = new Uint8Array(5 + json.length);
  new DataView(body.buffer).setUint32(1, json.length);
  body.set(json, 5);
  const response = await fetch(`${baseUrl}/darkroom.v1.${method}`, {
    method: 'POST',
    headers: { 'content-type': 'application/connect+json', 'connect-protocol-version': '1' },
    body,
  });
  let rest = new Uint8Array();
  for await (const bytes of response.body) {
    rest = concatenated(rest, bytes);
    while (rest.length >= 5) {
      const length = new DataView(rest.buffer, rest.byteOffset).getUint32(1);
      if (rest.length < 5 + length) {
        break;
      }
      const value = JSON.parse(new TextDecoder().decode(rest.subarray(5, 5 + length)));
      yield rest[0] === 2 ? { end: value } : { message: value };
      rest = rest.subarray(5 + length);
    }
  }
}

function concatenated(first, second) {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

function base64(bytes) {
  let text = '';
  for (const byte of bytes) {
    text += String.fromCharCode(byte);
  }
  return btoa(text);
}

/** Bytes that the test can make as well. */
function contentOf(length) {
  return Uint8Array.from({ length }, (_, i) => (i * 7919) >> 3);
}

/**
 * Creates an image, uploads it by chunks and watches its task meanwhile. In the middle it does as after an answer that
 * was lost, and as after a reload of the page.
 */
async function uploadInChunks(baseUrl, length, chunkBytes) {
  const bytes = contentOf(length);
  const created = await call(baseUrl, 'ImageService/CreateImage', {
    image: { name: 'from a browser', diskFormat: 'DISK_FORMAT_RAW' },
    upload: { totalSize: String(length) },
    requestId: crypto.randomUUID(),
  });
  const taskId = created.task.id;
  const watched = watch(baseUrl, taskId);

  let epoch;
  let answer;
  const send = async (offset) => {
    const data = bytes.subarray(offset, offset + chunkBytes);
    const isLast = offset + data.length === length;
    answer = await call(baseUrl, 'ImageService/UploadChunk', {
      taskId,
      writerEpoch: epoch,
      offset: String(offset),
      data: base64(data),
      ...(isLast && { finish: { totalSize: String(length) } }),
    });
    epoch = answer.writerEpoch;
    return Number(answer.committedSize);
  };

  let offset = await send(0);
  await send(0);
  const resumed = await call(baseUrl, 'ImageService/ResumeUpload', { taskId });
  epoch = resumed.writerEpoch;
  const resumedAt = Number(resumed.committedSize);
  while (offset < length) {
    offset = await send(offset);
  }
  const { image } = await get(baseUrl, 'ImageService/GetImage', { imageId: created.image.id });
  return { created, resumedAt, answer, image, watched: await watched };
}

async function watch(baseUrl, taskId) {
  const states = [];
  for await (const { message, end } of stream(baseUrl, 'TaskService/WatchTask', { taskId })) {
    if (end) {
      return { states, end };
    }
    const task = message.snapshot ?? message.update?.task;
    if (task) {
      states.push(message.update?.event.state ?? task.state);
    }
  }
  return { states };
}

// For who drives the page.
Object.assign(globalThis, { call, get, uploadInChunks });
