/** What is asked of an identity provider. */
export interface BoundedRequest {
  readonly method?: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Gives it up. */
  readonly signal: AbortSignal;
  /** Larger answers are none, in bytes. */
  readonly maxBytes: number;
}

/** What was answered. */
export interface BoundedAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/**
 * Asks an identity provider, and follows no redirect: that could lead to where anybody answers, and take secrets there.
 *
 * @throws Error where there is no answer, or one that is too large; `reasonOf` has the reason. Of any status there is an answer.
 */
export async function boundedFetch(
  url: string,
  { method = 'GET', headers, body, signal, maxBytes }: BoundedRequest,
): Promise<BoundedAnswer> {
  const response = await fetch(url, {
    method,
    headers,
    ...(body !== undefined && { body }),
    redirect: 'error',
    signal,
  });
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    size += part.byteLength;
    if (size > maxBytes) {
      throw new Error(`its answer is larger than ${maxBytes} bytes`);
    }
    parts.push(part);
  }
  return {
    status: response.status,
    headers: response.headers,
    text: Buffer.concat(parts).toString('utf8'),
  };
}

/** Why there was no answer: the reason of what fetch throws is in its cause. */
export function reasonOf(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { message?: string } };
  return [message, cause?.message].filter((text) => text).join(': ');
}
