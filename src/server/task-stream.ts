import type { RunEvent } from "../compose/run/events.ts";
import { progressOf, taskState, taskWithOutput } from "./bodies.ts";
import { forCallers } from "./http-error.ts";
import type { ProgressBody, TaskBody } from "./schemas.ts";
import { sseEvent } from "./sse.ts";
import type { Task } from "./task.ts";

/** The data of a task's events, by their names. */
export interface TaskEventData {
  /** The event `state` comes first, and whenever the status changes; it is the last of a task that was cancelled. */
  readonly state: TaskBody;
  readonly progress: ProgressBody;
  /** The event `text` has a piece of text; with a `kind` it is no part of the answer. */
  readonly text: Pick<
    RunEvent & { readonly type: "text" },
    "generation" | "text" | "tokens" | "kind" | "logprobs"
  > & {
    /** The call, of a piece that is one. */
    readonly tool_call?: { readonly name: string; readonly arguments: Readonly<Record<string, unknown>> };
  };
  readonly warning: { readonly message: string };
  /** The event `result` is the last of a task that has completed. */
  readonly result: TaskBody;
  /** The event `error` is the last of a task that has failed. */
  readonly error: TaskBody & { readonly detail: string };
}

/** The events of a task, as server-sent events with the names of `TaskEventData` and its data as JSON. */
export async function* taskEvents(task: Task, signal: AbortSignal): AsyncGenerator<string, void> {
  const log = task.log;
  if (log !== undefined) {
    let shown: string | undefined;
    for await (const batch of log.read(signal)) {
      let chunk = "";
      if (task.status !== shown && !task.hasEnded) {
        shown = task.status;
        chunk += taskEvent("state", taskState(task));
      }
      for (const event of batch) {
        chunk += publicEvent(event);
      }
      if (chunk !== "") {
        yield chunk;
      }
    }
  }
  if (task.hasEnded) {
    yield lastEvent(task);
  }
}

function publicEvent(event: RunEvent): string {
  switch (event.type) {
    case "loading":
    case "prefill":
      return taskEvent("progress", progressOf(event));
    case "text": {
      const { generation, text, tokens, kind, logprobs, toolCall } = event;
      return taskEvent("text", { generation, text, tokens, kind, logprobs, tool_call: toolCall });
    }
    case "warning":
      return taskEvent("warning", { message: forCallers(event.message) });
    case "run-started":
    case "job-started":
    case "job-ended":
    case "job-retried":
    case "generation-started":
    case "generation-ended":
    case "output":
    case "result":
      return "";
  }
}

function lastEvent(task: Task): string {
  if (task.status === "completed") {
    return taskEvent("result", taskWithOutput(task));
  }
  if (task.status === "cancelled") {
    return taskEvent("state", taskState(task));
  }
  return taskEvent("error", { ...taskState(task), detail: task.failure?.detail ?? "" });
}

function taskEvent<Name extends keyof TaskEventData>(name: Name, data: TaskEventData[Name]): string {
  return jsonEvent(name, data);
}

function jsonEvent(name: string, data: unknown): string {
  return sseEvent(JSON.stringify(data), name);
}

/** The output of a task, once it is known that the task streams it. */
export interface OutputStream {
  readonly chunks: AsyncGenerator<string, void>;
}

/**
 * Waits until a task streams its output, or ends without having done so.
 *
 * @returns the output as server-sent events: unnamed ones with its pieces (text as it is, other values as JSON), then
 *   one named `usage`, or `error`; undefined when the task has ended
 */
export async function outputStream(task: Task, signal: AbortSignal): Promise<OutputStream | undefined> {
  const batches = task.log?.read(signal);
  if (batches === undefined) {
    return undefined;
  }
  for (;;) {
    const { value, done } = await batches.next();
    if (done) {
      return undefined;
    }
    if (value.some(streams)) {
      return { chunks: outputEvents(task, value, batches) };
    }
  }
}

function streams(event: RunEvent): boolean {
  return event.type === "output" || (event.type === "generation-started" && event.output);
}

async function* outputEvents(
  task: Task,
  first: readonly RunEvent[],
  rest: AsyncGenerator<readonly RunEvent[], void>,
): AsyncGenerator<string, void> {
  yield pieces(first);
  for await (const batch of rest) {
    const chunk = pieces(batch);
    if (chunk !== "") {
      yield chunk;
    }
  }
  if (task.status === "completed") {
    const { task_id, status, usage, finish_reason, seed, timings, warnings } = taskState(task);
    yield jsonEvent("usage", { task_id, status, usage, finish_reason, seed, timings, warnings });
  } else if (task.hasEnded) {
    const { task_id, status, field } = taskState(task);
    const detail = task.failure?.detail ?? "The run was cancelled before it ended.";
    yield jsonEvent("error", { task_id, status, detail, field });
  }
}

function pieces(batch: readonly RunEvent[]): string {
  let chunk = "";
  for (const event of batch) {
    if (event.type !== "output" || event.value === "") {
      continue;
    }
    chunk += sseEvent(typeof event.value === "string" ? event.value : JSON.stringify(event.value));
  }
  return chunk;
}
