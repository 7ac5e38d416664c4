import { receiveMessageOnPort, workerData } from 'node:worker_threads';
import Bunzip from 'seek-bzip';
import xz from 'xz-decompress';
import { CompressionError, type CompressionProblem } from './compression-error.ts';
import type { DecoderAnswer, DecoderData, DecoderMessage } from './decoder-messages.ts';

// The thread has no more to do than one stream, and the decoder of bzip2 cannot wait but by standing still.
const { compression, extent, port, answered } = workerData as DecoderData;

const outputBytes = 256 * 1024;

function ask(message: DecoderMessage, moved: ArrayBuffer[] = []): DecoderAnswer {
  port.postMessage(message, moved);
  Atomics.wait(answered, 0, 0);
  Atomics.store(answered, 0, 0);
  const received = receiveMessageOnPort(port);
  return (received as { readonly message: DecoderAnswer }).message;
}

/** The input, chunk by chunk; undefined at its end. */
function nextInput(): Uint8Array | undefined {
  for (;;) {
    const { input } = ask({ kind: 'wants input' });
    if (input === undefined || input.byteLength > 0) {
      return input;
    }
  }
}

/** Gathers the output into pieces that are worth a message. */
class Output {
  #bytes = new Uint8Array(outputBytes);
  #length = 0;

  byte(byte: number): void {
    this.#bytes[this.#length++] = byte;
    if (this.#length === outputBytes) {
      this.flush();
    }
  }

  chunk(chunk: Uint8Array): void {
    for (let start = 0; start < chunk.byteLength;) {
      const fresh = chunk.subarray(start, start + outputBytes - this.#length);
      this.#bytes.set(fresh, this.#length);
      this.#length += fresh.byteLength;
      start += fresh.byteLength;
      if (this.#length === outputBytes) {
        this.flush();
      }
    }
  }

  flush(): void {
    if (this.#length > 0) {
      const bytes = this.#bytes.subarray(0, this.#length);
      this.#bytes = new Uint8Array(outputBytes);
      this.#length = 0;
      ask({ kind: 'output', bytes }, [bytes.buffer]);
    }
  }
}

const output = new Output();

function decodeBzip2(): void {
  let chunk = nextInput();
  let at = 0;
  const isAtEnd = (): boolean => {
    if (chunk !== undefined && at === chunk.byteLength) {
      chunk = nextInput();
      at = 0;
    }
    return chunk === undefined;
  };
  const source = new Bunzip.Stream();
  source.eof = isAtEnd;
  source.readByte = () => {
    if (isAtEnd()) {
      throw new CompressionError('cut short');
    }
    return chunk?.[at++] ?? 0;
  };
  const sink = new Bunzip.Stream();
  sink.writeByte = (byte) => output.byte(byte);
  if (isAtEnd()) {
    throw new CompressionError('cut short');
  }
  Bunzip.decode(source, sink, true);
}

/** What some of xz-embedded's results mean; they are numbers of `enum xz_ret` in its xz.h. */
const xzProblems: Readonly<Record<string, CompressionProblem>> = {
  2: 'unsupported',
  3: 'beyond reason',
  4: 'beyond reason',
  6: 'unsupported',
  8: 'cut short',
};

async function decodeXz(): Promise<void> {
  let next = nextInput();
  let hasEnded = next === undefined;
  if (hasEnded) {
    throw new CompressionError('cut short');
  }
  const source = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const chunk = next ?? nextInput();
        next = undefined;
        if (chunk === undefined) {
          hasEnded = true;
          controller.close();
        } else {
          controller.enqueue(chunk);
        }
      },
    },
    { highWaterMark: 0 },
  );
  try {
    for await (const chunk of new xz.XzReadableStream(source)) {
      output.chunk(chunk);
    }
  } catch (error) {
    const code = /error code (\d+)$/.exec(String(error))?.[1] ?? '';
    const problem = xzProblems[code] ?? 'damaged';
    // It tells no progress of damaged bytes too, where more of them are there.
    throw new CompressionError(problem === 'cut short' && !hasEnded ? 'damaged' : problem, {
      cause: error,
    });
  }
}

async function decode(): Promise<DecoderMessage> {
  try {
    await (compression === 'xz' ? decodeXz() : decodeBzip2());
    output.flush();
    return { kind: 'end' };
  } catch (error) {
    output.flush();
    const problem = error instanceof CompressionError ? error.problem : 'damaged';
    return problem === 'cut short' && extent === 'beginning'
      ? { kind: 'end' }
      : { kind: 'problem', problem, detail: String(error) };
  }
}

// Until it is terminated: a thread that ends by itself may be gone before its last word is heard.
ask(await decode());
