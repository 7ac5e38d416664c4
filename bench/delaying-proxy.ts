import { answerCommands } from './stage/script.ts';
import { openDelayedPort } from './wire/delayed-port.ts';

/** What the script can be asked. */
export interface DelayingProxy {
  /** Opens a port at a distance from another one, as `openDelayedPort`; answers it. */
  listen(order: { readonly port: number; readonly delayMs: number }): Promise<number>;
}

answerCommands<DelayingProxy>({
  async listen({ port, delayMs }) {
    return (await openDelayedPort(port, delayMs)).port;
  },
});
