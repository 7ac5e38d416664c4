import { base64Decode } from '@bufbuild/protobuf/wire';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { NodeRequest } from '../transport/node-http.ts';

/**
 * What is wrong with the message in the query of a GET of an RPC, where connect would take it for a defect of the
 * service: base64 that is none. Undefined where nothing is.
 */
export function undecodableQuery(request: NodeRequest): DarkroomError | undefined {
  const { searchParams } = new URL(request.url ?? '/', 'http://darkroom');
  if (searchParams.get('base64') !== '1') {
    return undefined;
  }
  try {
    base64Decode(searchParams.get('message') ?? '');
    return undefined;
  } catch (cause) {
    return new DarkroomError(
      'FIELD_INVALID',
      'the message in the query is not valid base64: encode it as base64 or base64url, or leave out base64=1',
      { fieldViolations: [{ field: 'message', description: 'is not valid base64' }], cause },
    );
  }
}
