import { base64Decode } from '@bufbuild/protobuf/wire';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import { hasTooManyMarks, tooManyMarks } from '../../domain/json-measure.ts';
import type { NodeRequest } from '../transport/node-http.ts';

/**
 * What is wrong with the message in the query of a GET of an RPC, where connect would take it for a defect of the
 * service: base64 that is none; or would read more JSON than is read at a stretch. Undefined where nothing is.
 */
export function undecodableQuery(request: NodeRequest): DarkroomError | undefined {
  const { searchParams } = new URL(request.url ?? '/', 'http://darkroom');
  const message = searchParams.get('message') ?? '';
  const isJson = searchParams.get('encoding') === 'json';
  if (searchParams.get('base64') !== '1') {
    return isJson && hasTooManyMarks(Buffer.from(message)) ? tooManyMarks('message') : undefined;
  }
  try {
    const decoded = base64Decode(message);
    return isJson && hasTooManyMarks(decoded) ? tooManyMarks('message') : undefined;
  } catch (cause) {
    return new DarkroomError(
      'FIELD_INVALID',
      'the message in the query is not valid base64: encode it as base64 or base64url, or leave out base64=1',
      { fieldViolations: [{ field: 'message', description: 'is not valid base64' }], cause },
    );
  }
}
