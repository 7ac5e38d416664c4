import { connect } from 'node:http2';

/**
 * A client like any other, in a process of its own: asks again and again for images, one call after the other, until its
 * input ends, and tells how long each call took: a line each, in ms. Usage: steady-caller <url>
 */
const [, , url = ''] = process.argv;
const session = connect(url);
process.stdin.resume();

function call(): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/darkroom.v1.ImageService/ListImages',
      'content-type': 'application/grpc+proto',
      te: 'trailers',
    });
    let status: unknown;
    const note = (headers: object): void => {
      status = 'grpc-status' in headers ? headers['grpc-status'] : status;
    };
    stream.on('response', note).on('trailers', note).on('error', reject).resume();
    stream.once('close', () =>
      status === '0' ? resolve() : reject(new Error(`grpc-status ${String(status)}`)),
    );
    // A message without anything in it.
    stream.end(Buffer.alloc(5));
  });
}

while (!process.stdin.readableEnded) {
  const began = performance.now();
  await call();
  console.log(performance.now() - began);
}
session.close();
