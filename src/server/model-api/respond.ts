import type { Context } from "hono";
import { sseHeaders, streamBody, type StreamOptions } from "../sse.ts";
import type { WorkflowService } from "../service.ts";
import { answerEvents, type AnswerEvent } from "./answer.ts";
import { ask, type Question } from "./ask.ts";

/** How an answer is written. */
export interface AnswerWriter {
  /** The answer as server-sent events, an error behind its beginning among them; absent: it comes as a whole. */
  readonly stream?: (events: AsyncIterable<AnswerEvent>) => AsyncGenerator<string, void>;
  readonly whole: (events: AsyncIterable<AnswerEvent>) => Promise<unknown>;
}

/**
 * Answers a question. The run ends when the one who asked has left. What goes wrong before the answer begins is thrown, so
 * that it has a status, also where the answer is to be a stream.
 *
 * @param options as for `streamBody`
 * @throws HttpError; what starting a run throws
 */
export async function respond(
  context: Context,
  service: WorkflowService,
  question: Question,
  writer: AnswerWriter,
  options: Pick<StreamOptions, "heartbeatSeconds" | "heartbeat">,
): Promise<Response> {
  const task = ask(service, question);
  for (const name of ["x-task-id", "x-request-id", "request-id"]) {
    context.header(name, task.id);
  }
  const left = new AbortController();
  left.signal.addEventListener("abort", () => task.cancel("disconnect"), { once: true });
  const { signal } = context.req.raw;
  const leave = (): void => left.abort();
  signal.addEventListener("abort", leave, { once: true });
  if (signal.aborted) {
    leave();
  }
  const rest = answerEvents(task, question, left.signal);
  const first = await rest.next();
  const events = resumed(first, rest);
  if (writer.stream !== undefined) {
    return context.body(streamBody(writer.stream(events), { ...options, left }), 200, sseHeaders);
  }
  const body = await writer.whole(events);
  signal.removeEventListener("abort", leave);
  return Response.json(body, { headers: context.res.headers });
}

async function* resumed<T>(
  first: IteratorResult<T, void>,
  rest: AsyncGenerator<T, void>,
): AsyncGenerator<T, void> {
  if (first.done !== true) {
    yield first.value;
    yield* rest;
  }
}
