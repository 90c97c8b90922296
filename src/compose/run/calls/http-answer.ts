import { createParser } from "eventsource-parser";
import { DEEPEST, isTooDeep } from "../../template/depth.ts";
import { RemoteError, type HttpAnswer } from "./http-request.ts";

/** The most bytes of an answer, or of one event of a stream; nothing that is text has more. */
const MOST_BYTES = 64 * 1024 * 1024;

/** The media type of an answer, without its parameters. */
function mediaType({ message }: HttpAnswer): string {
  return (message.headers["content-type"] ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

export function isEventStream(answer: HttpAnswer): boolean {
  return mediaType(answer) === "text/event-stream";
}

/** The value of a whole answer: of JSON its value, other text as it is, null for none. @throws RemoteError */
export async function readAnswer(answer: HttpAnswer): Promise<unknown> {
  const type = mediaType(answer);
  const isJson = /^application\/([\w.-]+\+)?json$/.test(type);
  const isText = /^text\/|^application\/(xml|x-ndjson|jsonl|yaml)$/.test(type);
  if (type !== "" && !isJson && !isText) {
    answer.message.destroy();
    throw new RemoteError(`The answer is ${type}; http-client reads JSON, text and event streams.`);
  }
  let text = "";
  for await (const chunk of textOf(answer)) {
    text += chunk;
    if (text.length <= MOST_BYTES) {
      continue;
    }
    answer.message.destroy();
    throw new RemoteError(`The answer has more than ${MOST_BYTES / 2 ** 20} MB.`);
  }
  if (text === "") {
    return null;
  }
  if (!isJson) {
    return text;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new RemoteError("The answer says that it is JSON, but it is not.", undefined, error);
  }
  return requireShallow(value);
}

/**
 * The data of every event: its text, or with format json its value (null for what is not JSON, as `[DONE]`).
 *
 * @throws RemoteError for an event that is too large, and when the answer breaks off
 */
export async function* readEvents(
  answer: HttpAnswer,
  format: "text" | "json",
): AsyncGenerator<unknown, void> {
  const events: string[] = [];
  let isTooLarge = false;
  const parser = createParser({
    onEvent: ({ data }) => events.push(data),
    onError: ({ type }) => (isTooLarge ||= type === "max-buffer-size-exceeded"),
    maxBufferSize: MOST_BYTES,
  });
  try {
    for await (const chunk of textOf(answer)) {
      parser.feed(chunk);
      if (isTooLarge) {
        throw new RemoteError(`An event of the answer has more than ${MOST_BYTES / 2 ** 20} MB.`);
      }
      for (const data of events.splice(0)) {
        yield format === "json" ? parsed(data) : data;
      }
    }
  } finally {
    // A reader that has enough ends the connection.
    answer.message.destroy();
  }
}

function parsed(data: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return null;
  }
  return requireShallow(value);
}

function requireShallow(value: unknown): unknown {
  if (isTooDeep(value)) {
    throw new RemoteError(`The answer is nested more than ${DEEPEST} deep.`);
  }
  return value;
}

async function* textOf({ message, fail }: HttpAnswer): AsyncGenerator<string, void> {
  message.setEncoding("utf8");
  try {
    yield* message as AsyncIterable<string>;
  } catch (error) {
    fail(error);
  }
  if (!message.complete) {
    fail(new Error("the connection broke off"));
  }
}
