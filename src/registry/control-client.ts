import { request as httpRequest, type IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { AbortError, errorMessage, ModelComposeError, type ErrorCode } from "../base/errors.ts";
import type { RunEvent } from "../compose/run/events.ts";
import type { GenerateOptions } from "../runtime/generation/types.ts";
import { lentLine, lentModel, type LentModel, type LentQuestion } from "./lent-models.ts";
import {
  controlFailure,
  controlInfo,
  type ControlFailure,
  type ControlInfo,
  type ControlRun,
} from "./control-server.ts";
import type { Registration } from "./registration.ts";

/** Milliseconds in which a server answers even when it is busy. */
const ANSWER_MILLISECONDS = 5000;

interface Call {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

/** Asks a server what it says of itself; "silent" when it does not answer in time, "gone" when it is not there any more. */
export async function askServer(registration: Registration): Promise<ControlInfo | "silent" | "gone"> {
  const signal = AbortSignal.timeout(ANSWER_MILLISECONDS);
  try {
    const response = await send(registration, { method: "GET", path: "/control", signal });
    return controlInfo.parse(JSON.parse(await text(response)));
  } catch {
    // Nobody listens on its port, or somebody who does not know its secret.
    return signal.aborted ? "silent" : "gone";
  }
}

/** Asks a server to end. */
export async function requestStop(registration: Registration, now: boolean): Promise<void> {
  const signal = AbortSignal.timeout(ANSWER_MILLISECONDS);
  const response = await send(registration, { method: "POST", path: "/control/stop", body: { now }, signal });
  response.resume();
}

/**
 * Runs a workflow on a server and yields what happens, as the engine does in this process. A reader that leaves early,
 * like a signal that fires, ends the run.
 *
 * @throws ModelComposeError as the run threw it there; AbortError
 */
export async function* runOnServer(
  registration: Registration,
  run: ControlRun,
  signal: AbortSignal,
): AsyncGenerator<RunEvent, void> {
  let hasEnded = false;
  for await (const value of linesFrom(registration, {
    method: "POST",
    path: "/control/runs",
    body: run,
    signal,
  })) {
    const event = value as RunEvent;
    hasEnded ||= event.type === "result";
    yield event;
  }
  if (!hasEnded) {
    throw lost();
  }
}

/** The models that a server has loaded; none where it does not answer. */
export async function modelsOnServer(registration: Registration): Promise<LentModel[]> {
  const signal = AbortSignal.timeout(ANSWER_MILLISECONDS);
  try {
    const response = await send(registration, { method: "GET", path: "/control/models", signal });
    return lentModel.array().parse(JSON.parse(await text(response)));
  } catch {
    return [];
  }
}

/**
 * Asks a model that a server has loaded, and yields the parts of what it writes. A reader that leaves early, like a signal that
 * fires, ends the work.
 *
 * @param onPrefill called as the prompt is read
 * @throws ModelComposeError as the model threw it there; AbortError
 */
export async function* askOnServer<T extends { readonly result?: unknown }>(
  registration: Registration,
  question: LentQuestion,
  { signal, onPrefill }: Pick<GenerateOptions, "onPrefill"> & { readonly signal: AbortSignal },
): AsyncGenerator<T, void> {
  let hasEnded = false;
  const call: StreamCall = { method: "POST", path: "/control/questions", body: question, signal };
  for await (const value of linesFrom(registration, call)) {
    const line = lentLine.parse(value);
    if ("prefill" in line) {
      onPrefill?.(line.prefill);
    } else {
      const part = line.part as unknown as T;
      hasEnded ||= part.result !== undefined;
      yield part;
    }
  }
  if (!hasEnded) {
    throw lost();
  }
}

type StreamCall = Call & { readonly signal: AbortSignal };

/** The values of an answer of lines of JSON, but for a failure's, which is thrown. */
async function* linesFrom(registration: Registration, call: StreamCall): AsyncGenerator<unknown, void> {
  const { signal } = call;
  const response = await sendLong(registration, call);
  try {
    for await (const line of createInterface({ input: response, crlfDelay: Infinity })) {
      if (line === "") {
        continue;
      }
      const value: unknown = JSON.parse(line);
      const failure = controlFailure.safeParse(value);
      if (failure.success) {
        throw failureOf(failure.data);
      }
      yield value;
    }
  } catch (error) {
    if (signal.aborted) {
      throw new AbortError(signal.reason);
    }
    throw error;
  } finally {
    response.destroy();
  }
  if (signal.aborted) {
    throw new AbortError(signal.reason);
  }
}

async function sendLong(registration: Registration, call: StreamCall): Promise<IncomingMessage> {
  const { signal } = call;
  try {
    return await send(registration, call);
  } catch (error) {
    if (signal.aborted) {
      throw new AbortError(signal.reason);
    }
    throw lost(error);
  }
}

function failureOf({ code, message, parameter }: ControlFailure): Error {
  return code === undefined
    ? new Error(message)
    : new ModelComposeError(code as ErrorCode, message, { parameter });
}

function lost(cause?: unknown): ModelComposeError {
  return new ModelComposeError("not-found", "The server ended before the run did.", {
    cause,
    remedy: "Start it again (model-compose up), or run without it: --local.",
  });
}

/** Sends a request to a control server. No clock ends it, because a run may take hours. */
function send(registration: Registration, { method, path, body, signal }: Call): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const request = httpRequest(
      {
        host: "127.0.0.1",
        port: registration.controlPort,
        method,
        path,
        signal,
        agent: false,
        headers: {
          authorization: `Bearer ${registration.token}`,
          ...(payload === undefined ? {} : { "content-type": "application/json" }),
        },
      },
      (response) => {
        if (response.statusCode === 200) {
          resolve(response);
        } else {
          response.resume();
          reject(new Error(`the control server answered ${response.statusCode ?? "nothing"}`));
        }
      },
    );
    request.on("error", (error) => reject(new Error(errorMessage(error), { cause: error })));
    request.end(payload);
  });
}
