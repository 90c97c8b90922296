import { randomBytes } from "node:crypto";
import { Hono, type Context } from "hono";
import { z } from "zod";
import { errorMessage, ModelComposeError } from "../base/errors.ts";
import { withoutSecrets } from "../base/secrets.ts";
import { WorkflowInputError } from "../compose/run/input-error.ts";
import { answerLines, lentModels, lentQuestion } from "./lent-models.ts";
import { requireKey } from "../server/guard.ts";
import { listen } from "../server/listen.ts";
import { healthBody, hostMemoryBody } from "../server/schemas.ts";
import { health, hostMemory } from "../server/bodies.ts";
import type { WorkflowService } from "../server/service.ts";
import { streamBody } from "../server/sse.ts";
import type { Task } from "../server/task.ts";

/** What a server says of itself to its user's other commands. */
export const controlInfo = healthBody.extend({
  id: z.string(),
  running: z.int(),
  waiting: z.int(),
  /** Absent: a server of an older version. */
  memory: hostMemoryBody.optional(),
});
export type ControlInfo = z.infer<typeof controlInfo>;

export const controlRun = z.object({ workflow: z.string(), input: z.unknown().optional() });
export type ControlRun = z.infer<typeof controlRun>;

export const controlStop = z.object({ now: z.boolean() });

/** The last line of a run that failed, which says why. */
export const controlFailure = z.object({
  type: z.literal("failed"),
  code: z.string().optional(),
  message: z.string(),
  field: z.string().optional(),
  parameter: z.string().optional(),
});
export type ControlFailure = z.infer<typeof controlFailure>;

/** The control server of a server: where it listens, and the secret that it wants to see. */
export interface Control {
  readonly id: string;
  readonly port: number;
  readonly token: string;
  /**
   * Lets the process end while this listens. It closes only with the process, because whoever waits for the server's end
   * waits for that.
   */
  unref(): void;
}

const HEARTBEAT_SECONDS = 15;

/**
 * Lets other commands of the same user see, use and end a server: on a port of 127.0.0.1, with a secret that stands in
 * the registration, which nobody else may read.
 *
 * @param onStop called when a command asks the server to end; `now`: without waiting for its runs
 */
export async function startControl(
  service: WorkflowService,
  onStop: (now: boolean) => void,
): Promise<Control> {
  const id = randomBytes(8).toString("hex");
  const token = randomBytes(32).toString("hex");
  const app = new Hono();
  app.onError((error, context) => context.json({ detail: errorMessage(error) }, 401));
  app.use(requireKey(token, () => false));
  app.get("/control", (context) => {
    const { running, waiting } = service;
    const memory = hostMemory(service);
    return context.json({ ...health(service), id, running, waiting, memory } satisfies ControlInfo);
  });
  app.post("/control/stop", async (context) => {
    const { now } = controlStop.parse(await context.req.json());
    onStop(now);
    return context.json({ id });
  });
  const streamed = (context: Context, lines: AsyncIterator<string>, left: AbortController): Response => {
    const body = streamBody(lines, { heartbeatSeconds: HEARTBEAT_SECONDS, heartbeat: "\n", left });
    return context.body(body, 200, { "content-type": "application/x-ndjson" });
  };
  app.post("/control/runs", async (context) => {
    const left = new AbortController();
    const request = controlRun.parse(await context.req.json());
    return streamed(context, runLines(service, request, left.signal), left);
  });
  app.get("/control/models", async (context) => context.json(await lentModels(service)));
  app.post("/control/questions", async (context) => {
    const left = new AbortController();
    const question = lentQuestion.parse(await context.req.json());
    return streamed(context, linesOf(answerLines(service, question, left.signal)), left);
  });
  const listener = await listen((request) => app.fetch(request), "127.0.0.1", 0);
  return { id, token, port: listener.port, unref: () => listener.unref() };
}

/** The events of a run, one a line; the run ends when nobody reads them any more. */
async function* runLines(
  service: WorkflowService,
  request: ControlRun,
  left: AbortSignal,
): AsyncGenerator<string, void> {
  let task: Task;
  try {
    task = service.start({ workflow: request.workflow, input: request.input ?? null });
  } catch (error) {
    yield line(failureOf(error));
    return;
  }
  left.addEventListener("abort", () => task.cancel("disconnect"), { once: true });
  for await (const batch of task.log?.read(left) ?? []) {
    if (batch.length > 0) {
      yield batch.map(line).join("");
    }
  }
  await task.ended;
  if (task.status === "failed") {
    const { code, message, field } = task.failure ?? {
      message: "The run failed.",
      code: undefined,
      field: undefined,
    };
    yield line({ type: "failed", code, message: withoutSecrets(message), field });
  }
  if (task.status === "cancelled") {
    yield line({ type: "failed", message: "The server ended the run before it was done." });
  }
}

/** Values, one a line; the last line says why there are no more of them, where that is a failure. */
async function* linesOf(values: AsyncIterable<unknown>): AsyncGenerator<string, void> {
  try {
    for await (const value of values) {
      yield line(value);
    }
  } catch (error) {
    yield line(failureOf(error));
  }
}

function failureOf(error: unknown): ControlFailure {
  return {
    type: "failed",
    code: error instanceof ModelComposeError ? error.code : undefined,
    parameter: error instanceof ModelComposeError ? error.parameter : undefined,
    message: withoutSecrets(errorMessage(error)),
    field: error instanceof WorkflowInputError ? error.field : undefined,
  };
}

function line(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}
