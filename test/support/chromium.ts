import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

/** A headless Chromium, driven by the DevTools protocol over a pipe. */
export interface Chromium {
  /** Opens a page and evaluates an expression in it; answers what its promise resolves with, as JSON has it. */
  evaluate(pageUrl: string, expression: string): Promise<unknown>;
  close(): Promise<void>;
}

const flags = [
  '--headless',
  // Needed by root, who has no sandbox.
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--remote-debugging-pipe',
];

interface Reply {
  readonly id?: number;
  readonly method?: string;
  readonly sessionId?: string;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

/**
 * Starts a Chromium with a new profile.
 *
 * @param localName a name that is to be this machine's.
 * @param more flags.
 */
export async function openChromium(
  localName: string,
  more: readonly string[] = [],
): Promise<Chromium> {
  const profile = await mkdtemp(join(tmpdir(), 'darkroom-chromium-'));
  const own = [`--host-resolver-rules=MAP ${localName} 127.0.0.1`, `--user-data-dir=${profile}`];
  const child = spawn('chromium', [...flags, ...own, ...more, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    // A group of its own, so that its helpers end with it.
    detached: true,
  });
  const toBrowser = child.stdio[3] as Writable;
  const fromBrowser = child.stdio[4] as Readable;
  const waiting = new Map<number, PromiseWithResolvers<Reply>>();
  const listeners = new Set<(reply: Reply) => void>();
  let rest = '';
  fromBrowser.setEncoding('utf8').on('data', (text: string) => {
    const messages = (rest + text).split('\0');
    rest = messages.pop() ?? '';
    for (const message of messages) {
      const reply = JSON.parse(message) as Reply;
      waiting.get(reply.id ?? -1)?.resolve(reply);
      listeners.forEach((listener) => listener(reply));
    }
  });
  child.once('close', () => {
    const error = new Error('chromium has ended');
    waiting.forEach(({ reject }) => reject(error));
  });

  let lastId = 0;
  async function send(method: string, params: object, sessionId?: string) {
    const id = (lastId += 1);
    const reply = Promise.withResolvers<Reply>();
    waiting.set(id, reply);
    toBrowser.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    const { result, error } = await reply.promise;
    waiting.delete(id);
    if (error) {
      throw new Error(`${method}: ${error.message}`);
    }
    return result ?? {};
  }

  function untilLoaded(sessionId: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const listener = (reply: Reply): void => {
      if (reply.sessionId === sessionId && reply.method === 'Page.loadEventFired') {
        listeners.delete(listener);
        resolve();
      }
    };
    listeners.add(listener);
    return promise;
  }

  return {
    async evaluate(pageUrl, expression) {
      const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
      const attached = await send('Target.attachToTarget', { targetId, flatten: true });
      const sessionId = String(attached['sessionId']);
      await send('Page.enable', {}, sessionId);
      const loaded = untilLoaded(sessionId);
      await send('Page.navigate', { url: pageUrl }, sessionId);
      await loaded;
      const { result, exceptionDetails } = await send(
        'Runtime.evaluate',
        { expression, awaitPromise: true, returnByValue: true },
        sessionId,
      );
      if (exceptionDetails) {
        throw new Error(`in the page: ${JSON.stringify(exceptionDetails)}`);
      }
      await send('Target.closeTarget', { targetId });
      return (result as { value?: unknown }).value;
    },

    async close() {
      const closed = once(child, 'close');
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
        process.kill(-child.pid, 'SIGKILL');
        await closed;
      }
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
