import type { DescService } from '@bufbuild/protobuf';
import { createServiceImplSpec, type ConnectRouter, type ServiceImpl } from '@connectrpc/connect';
import type { MessageLimitOf } from '../errors/protocol-failure.ts';

/** The same router, which has each method of a service take messages up to a limit of its own. */
export function limitedRouter(
  router: ConnectRouter,
  maxMessageBytesOf: MessageLimitOf,
): ConnectRouter {
  const limited: ConnectRouter = {
    handlers: router.handlers,
    service<S extends DescService>(
      service: S,
      implementation: Partial<ServiceImpl<S>>,
      options?: Parameters<ConnectRouter['service']>[2],
    ) {
      const { methods } = createServiceImplSpec(service, implementation);
      for (const { method, impl } of Object.values(methods)) {
        router.rpc(method, impl, { ...options, readMaxBytes: maxMessageBytesOf(method) });
      }
      return limited;
    },
    rpc(method, implementation, options) {
      router.rpc(method, implementation, { ...options, readMaxBytes: maxMessageBytesOf(method) });
      return limited;
    },
  };
  return limited;
}
