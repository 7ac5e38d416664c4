import { get } from 'node:http';
import { create, toBinary } from '@bufbuild/protobuf';
import { DownloadImageRequestSchema } from '../../gen/darkroom/v1/image_service_pb.ts';
import { answerCommands } from '../stage/script.ts';
import { framed, GrpcConnection } from '../wire/grpc-connection.ts';

/** How it went. */
export interface DownloadResult {
  readonly seconds: number;
  /** Of the network: with what is around the bytes of the image. */
  readonly bytes: number;
}

/** What the script can be asked. What comes is counted and dropped. */
export interface DownloadLoad {
  downloadImage(order: { readonly url: string; readonly imageId: string }): Promise<DownloadResult>;
  downloadFile(order: { readonly url: string }): Promise<DownloadResult>;
}

answerCommands<DownloadLoad>({
  async downloadImage({ url, imageId }) {
    const connection = await GrpcConnection.open(url);
    const began = performance.now();
    const call = connection.call('darkroom.v1.ImageService/DownloadImage');
    const request = create(DownloadImageRequestSchema, { imageId });
    call.stream.end(framed(toBinary(DownloadImageRequestSchema, request)));
    let bytes = 0;
    call.stream.on('data', (data: Buffer) => {
      bytes += data.byteLength;
    });
    await call.ended();
    const seconds = (performance.now() - began) / 1000;
    connection.close();
    return { seconds, bytes };
  },

  async downloadFile({ url }) {
    const began = performance.now();
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    get(url, { agent: false }, (response) => {
      let bytes = 0;
      response.on('data', (data: Buffer) => {
        bytes += data.byteLength;
      });
      response.once('end', () => resolve(bytes));
      response.once('error', reject);
    }).once('error', reject);
    const bytes = await promise;
    return { seconds: (performance.now() - began) / 1000, bytes };
  },
});
