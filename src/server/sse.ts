/** Server-sent events, https://html.spec.whatwg.org/multipage/server-sent-events.html */
import { within } from "../base/async/within.ts";

/** One event in the format. Text of several lines becomes several `data:` lines, which a reader joins again. */
export function sseEvent(data: string, event?: string): string {
  const name = event === undefined ? "" : `event: ${event}\n`;
  // A lone carriage return ends a line of the format as well.
  const lines = data.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`);
  return `${name}${lines.join("")}\n`;
}

/** A comment of the format, which readers pass over: it shows that the connection is still there. */
const comment = ":\n\n";

/** How a body is sent piece by piece. */
export interface StreamOptions {
  /** Seconds without anything to send after which a heartbeat is sent. */
  readonly heartbeatSeconds: number;
  /** The heartbeat's text. Default: a comment of server-sent events. */
  readonly heartbeat?: string;
  /** Fires when the reader has left, so that the source of the chunks may end. */
  readonly left: AbortController;
}

/** A body of chunks, each made only when the reader has room for it. */
export function streamBody(
  chunks: AsyncIterator<string>,
  { heartbeatSeconds, heartbeat = comment, left }: StreamOptions,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let next: Promise<IteratorResult<string>> | undefined;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        next ??= chunks.next();
        const result = await within(next, heartbeatSeconds * 1000);
        if (result === undefined) {
          controller.enqueue(encoder.encode(heartbeat));
          return;
        }
        next = undefined;
        if (result.done) {
          controller.close();
        } else {
          controller.enqueue(encoder.encode(result.value));
        }
      },
      cancel(reason) {
        left.abort(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

export const sseHeaders: Readonly<Record<string, string>> = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache",
  // Proxies such as nginx pass the stream on at once.
  "x-accel-buffering": "no",
};
