import type { DescFile, DescService } from '@bufbuild/protobuf';
import type { ConnectRouter, HandlerContext } from '@connectrpc/connect';
import { Code } from '../../../gen/google/rpc/code_pb.ts';
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from '../../../gen/grpc/reflection/v1/reflection_pb.ts';
import {
  ServerReflection as ServerReflectionAlpha,
  type ServerReflectionRequest as ServerReflectionRequestAlpha,
} from '../../../gen/grpc/reflection/v1alpha/reflection_pb.ts';
import { untilAborted } from '../../domain/abortable.ts';
import { DescriptorIndex } from './descriptor-index.ts';
import { drainSignalOf } from '../transport/request-context.ts';

type Request = ServerReflectionRequest | ServerReflectionRequestAlpha;

/** A response without its type's name, which is all that differs between the two versions. */
type Answer = Unnamed<ServerReflectionResponse['messageResponse']>;
type Unnamed<T> = T extends Uint8Array
  ? T
  : T extends (infer E)[]
    ? Unnamed<E>[]
    : T extends object
      ? { [K in keyof T as K extends '$typeName' | '$unknown' ? never : K]: Unnamed<T[K]> }
      : T;

/**
 * Adds grpc.reflection v1 and v1alpha, which older tools ask for. The descriptors have the comments of the
 * proto files: for most callers they are the service's documentation.
 *
 * @param services is asked when the first request comes, and says which services there are.
 */
export function addReflection(router: ConnectRouter, services: () => readonly DescService[]): void {
  let built: DescriptorIndex | undefined;
  const index = (): DescriptorIndex => (built ??= new DescriptorIndex(services()));

  async function* reflect<R extends Request>(
    requests: AsyncIterable<R>,
    context: HandlerContext,
  ): AsyncGenerator<{ validHost: string; originalRequest: R; messageResponse: Answer }> {
    const drainSignal = drainSignalOf(context);
    const iterator = requests[Symbol.asyncIterator]();
    const sent = new Set<DescFile>();
    for (;;) {
      const next = await untilAborted(drainSignal, iterator.next());
      if (next.done === true) {
        return;
      }
      const originalRequest = next.value;
      yield {
        validHost: originalRequest.host,
        originalRequest,
        messageResponse: answerTo(originalRequest, index(), services(), sent),
      };
    }
  }

  router.service(ServerReflection, { serverReflectionInfo: reflect<ServerReflectionRequest> });
  router.service(ServerReflectionAlpha, {
    serverReflectionInfo: reflect<ServerReflectionRequestAlpha>,
  });
}

function answerTo(
  { messageRequest }: Request,
  index: DescriptorIndex,
  services: readonly DescService[],
  sent: Set<DescFile>,
): Answer {
  switch (messageRequest.case) {
    case 'listServices': {
      const names = services.map(({ typeName }) => typeName).sort();
      return { case: 'listServicesResponse', value: { service: names.map((name) => ({ name })) } };
    }
    case 'fileByFilename':
      return fileAnswer(index.fileByName(messageRequest.value), messageRequest.value, index, sent);
    case 'fileContainingSymbol':
      return fileAnswer(
        index.fileBySymbol(messageRequest.value),
        messageRequest.value,
        index,
        sent,
      );
    case 'fileContainingExtension': {
      const { containingType, extensionNumber } = messageRequest.value;
      const file = index.fileByExtension(containingType, extensionNumber);
      return fileAnswer(file, `extension ${extensionNumber} of ${containingType}`, index, sent);
    }
    case 'allExtensionNumbersOfType': {
      const baseTypeName = messageRequest.value;
      const extensionNumber = index.extensionNumbers(baseTypeName);
      return extensionNumber === undefined
        ? notFound(baseTypeName)
        : { case: 'allExtensionNumbersResponse', value: { baseTypeName, extensionNumber } };
    }
    case undefined:
      return {
        case: 'errorResponse',
        value: { errorCode: Code.INVALID_ARGUMENT, errorMessage: 'message_request must be set' },
      };
  }
}

/** The file with those of its imports that this stream has not been sent yet, as grpc-go does it. */
function fileAnswer(
  file: DescFile | undefined,
  asked: string,
  index: DescriptorIndex,
  sent: Set<DescFile>,
): Answer {
  if (file === undefined) {
    return notFound(asked);
  }
  const files = [...index.withImports(file)].filter((one) => one === file || !sent.has(one));
  for (const one of files) {
    sent.add(one);
  }
  return {
    case: 'fileDescriptorResponse',
    value: { fileDescriptorProto: files.map((one) => index.encoded(one)) },
  };
}

function notFound(asked: string): Answer {
  return {
    case: 'errorResponse',
    value: { errorCode: Code.NOT_FOUND, errorMessage: `${asked} was not found` },
  };
}
