import { ImageService } from '../gen/darkroom/v1/image_service_pb.ts';
import { TaskService } from '../gen/darkroom/v1/task_service_pb.ts';
import type { DescMethod } from '@bufbuild/protobuf';
import type { Random } from '../chaos/random.ts';
import type { Answer } from './answer.ts';
import type { Http2Client } from './http2-client.ts';

/** What cases are made for. */
export interface FuzzTarget {
  readonly url: string;
  readonly port: number;
  readonly client: Http2Client;
  /** Of images and tasks that are there, and of some that are not. */
  readonly ids: readonly string[];
  /** A token that is good, as it stands in `authorization`. */
  readonly authorization: string;
}

/** Makes one malformed thing, sends it, and tells what came back. */
export type FuzzCase = (target: FuzzTarget, random: Random) => Promise<Answer>;

/** Every RPC of the contract. */
export const allMethods: readonly DescMethod[] = [...ImageService.methods, ...TaskService.methods];

/** Where an RPC is. */
export function pathOfMethod(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}
