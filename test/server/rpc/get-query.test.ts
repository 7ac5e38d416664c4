import { expect, test } from 'vitest';
import { startFakeServer } from '../fake-server.ts';

test.each([
  ['%25', 'no base64'],
  ['a', 'a letter too few'],
])(
  'a GET whose message is not the base64 that it says is refused as such: %s, %s',
  async (message) => {
    const { url } = await startFakeServer({ images: { listImages: () => ({}) } });
    const path = 'darkroom.v1.ImageService/ListImages';
    const query = `connect=v1&encoding=proto&base64=1&message=${message}`;
    const answer = await fetch(`${url}/${path}?${query}`);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('base64') as string,
      details: [{ type: 'google.rpc.ErrorInfo' }, { type: 'google.rpc.BadRequest' }],
    });
    const sound = await fetch(`${url}/${path}?connect=v1&encoding=proto&base64=1&message=`);
    expect(sound.status).toBe(200);
  },
);
