import type { Context } from "hono";
import { z } from "zod";
import { defaultWorkflowId, type WorkflowDefinition } from "../compose/definition/definition.ts";
import { findWorkflow } from "../compose/definition/find-workflow.ts";
import {
  health,
  publicWorkflows,
  status,
  taskEntry,
  taskState,
  taskWithOutput,
  workflowEntry,
  workflowSchema,
} from "./bodies.ts";
import { HttpError } from "./http-error.ts";
import { readQuery, readRunRequest } from "./read-request.ts";
import {
  cancelQuery,
  failureBody,
  healthBody,
  outputQuery,
  runRequest,
  schemaBody,
  statusBody,
  taskBody,
  tasksQuery,
  workflowBody,
  workflowsQuery,
  type FailureBody,
  type RunRequest,
  type TaskBody,
} from "./schemas.ts";
import type { WorkflowService } from "./service.ts";
import { sseHeaders, streamBody } from "./sse.ts";
import { outputStream, taskEvents } from "./task-stream.ts";
import type { Task } from "./task.ts";

/** One operation of the API: what serves it, and what `openapi.json` says about it. */
export interface Route {
  readonly method: "get" | "post";
  /** The path below the base path, with `{name}` where it varies. */
  readonly path: string;
  /** Whether the path is below the root instead. */
  readonly atRoot?: boolean;
  readonly summary: string;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  readonly answers: Readonly<Record<number, Answer>>;
  readonly handle: (context: Context) => Response | Promise<Response>;
}

/** One of the answers that an operation may give. */
export interface Answer {
  readonly description: string;
  readonly body?: z.ZodType;
  /** Media type of an answer that is text instead of JSON, or can be either. */
  readonly mediaType?: "text/event-stream";
}

/** How the operations answer. */
export interface RouteOptions {
  /** Seconds between the comments on a stream on which nothing happens. */
  readonly heartbeatSeconds: number;
}

const failures = (...statuses: (keyof typeof failureTexts)[]): Record<number, Answer> =>
  Object.fromEntries(
    statuses.map((status) => [status, { description: failureTexts[status], body: failureBody }]),
  );

const failureTexts = {
  400: "The body cannot be read.",
  404: "There is no such workflow or task.",
  409: "The task has ended.",
  413: "The body is too large.",
  422: "A value is wrong; field names it.",
  429: "Too many runs are waiting, or as much is kept as may be; Retry-After says when to try again.",
} as const;

const runAnswers: Route["answers"] = {
  200: {
    description:
      "The task: completed, or pending with wait_for_completion: false. With output_only the output alone, which is " +
      "a text/event-stream when the workflow streams it: unnamed events with its pieces, then one named usage or error.",
    body: z.union([taskBody, z.unknown()]),
    mediaType: "text/event-stream",
  },
  ...failures(400, 404, 413, 422, 429),
  409: { description: "The task was cancelled.", body: taskBody },
  503: {
    description: "The server takes no runs at the moment; or it ended this one, whose task it is.",
    body: z.union([taskBody, failureBody]),
  },
  500: {
    description: "The run failed: the task; with output_only a Failure.",
    body: z.union([taskBody, failureBody]),
  },
};

/** The operations on a service. Their handlers throw HttpError for a request that cannot be done. */
export function apiRoutes(service: WorkflowService, options: RouteOptions): readonly Route[] {
  const { definition, tasks } = service;

  const taskOf = (context: Context, message = "Task not found."): Task => {
    const task = tasks.get(context.req.param("id") ?? "");
    if (task === undefined) {
      throw new HttpError(404, message);
    }
    return task;
  };
  // Messages name no private workflows either.
  const offered = { ...definition, workflows: publicWorkflows(definition) };
  const publicWorkflow = (id: string): WorkflowDefinition =>
    findWorkflow(offered, id === defaultWorkflowId ? findWorkflow(definition, id).id : id);

  const run = async (context: Context, id?: string): Promise<Response> => {
    const request = await readRunRequest(context.req.raw, definition.controller.maxBodyBytes, tasks.kept);
    const { workflow, output } = runOptions(request, id);
    const task = service.start({
      workflow: publicWorkflow(workflow).id,
      input: request.input ?? null,
      sessionId: request.session_id ?? undefined,
      metadata: request.metadata,
    });
    context.header("x-task-id", task.id);
    if (output === "none") {
      return context.json(taskState(task));
    }
    return answerRun(context, task, output === "only", options);
  };

  return [
    {
      method: "get",
      path: "/health",
      summary: "Is the server ready?",
      answers: {
        200: { description: "It is.", body: healthBody },
        503: { description: "It loads models, has lost one, or shuts down.", body: healthBody },
      },
      handle: (context) => context.json(health(service), service.state === "ok" ? 200 : 503),
    },
    {
      method: "get",
      path: "/status",
      summary: "What the server holds and does: its models, and how many runs go on and wait",
      answers: { 200: { description: "At this moment.", body: statusBody } },
      handle: async (context) => context.json(await status(service)),
    },
    {
      method: "get",
      path: "/workflows",
      summary: "The workflows",
      query: workflowsQuery,
      answers: {
        200: {
          description: "All that are not private.",
          body: z.array(z.union([schemaBody, workflowBody])),
        },
      },
      handle: (context) => {
        const { include_schema: withSchema } = readQuery(workflowsQuery, context.req.query());
        const describe = withSchema === true ? workflowSchema : workflowEntry;
        return context.json(publicWorkflows(definition).map((workflow) => describe(definition, workflow)));
      },
    },
    {
      method: "get",
      path: "/workflows/schemas",
      summary: "What every workflow takes and gives, by its id",
      answers: { 200: { description: "By id.", body: z.record(z.string(), schemaBody) } },
      handle: (context) => {
        const schemas = publicWorkflows(definition).map((workflow) => [
          workflow.id,
          workflowSchema(definition, workflow),
        ]);
        return context.json(Object.fromEntries(schemas) as Record<string, unknown>);
      },
    },
    {
      method: "get",
      path: "/workflows/{id}/schema",
      summary: "What a workflow takes and gives",
      answers: { 200: { description: "Its inputs and outputs.", body: schemaBody }, ...failures(404) },
      handle: (context) => {
        const workflow = publicWorkflow(context.req.param("id") ?? "");
        return context.json(workflowSchema(definition, workflow));
      },
    },
    {
      method: "post",
      path: "/workflows/runs",
      summary: "Run a workflow",
      body: runRequest,
      answers: runAnswers,
      handle: (context) => run(context),
    },
    {
      method: "post",
      path: "/workflows/{id}/runs",
      summary: "Run a workflow by its id",
      body: runRequest,
      answers: runAnswers,
      handle: (context) => run(context, context.req.param("id")),
    },
    {
      method: "get",
      path: "/tasks",
      summary:
        "The tasks that are known, newest first, in brief; before: those that were accepted before this one",
      query: tasksQuery,
      answers: { 200: { description: "Tasks.", body: z.array(taskBody) }, ...failures(422) },
      handle: (context) => {
        const query = readQuery(tasksQuery, context.req.query());
        const isWanted = (task: Task): boolean =>
          (query.status === undefined || task.status === query.status) &&
          (query.workflow_id === undefined || task.workflowId === query.workflow_id) &&
          // Ids grow with time.
          (query.before === undefined || task.id < query.before);
        return context.json(
          tasks
            .list()
            .filter(isWanted)
            .slice(0, query.limit ?? 100)
            .map(taskEntry),
        );
      },
    },
    {
      method: "get",
      path: "/tasks/{id}",
      summary: "A task",
      query: outputQuery,
      answers: {
        200: {
          description: "The task; with output_only its output alone.",
          body: z.union([taskBody, z.unknown()]),
        },
        202: { description: "With output_only: the task goes on.", body: taskBody },
        409: { description: "With output_only: the task was cancelled.", body: taskBody },
        500: { description: "With output_only: the task failed.", body: failureBody },
        ...failures(404),
      },
      handle: (context) => {
        const { output_only: outputOnly } = readQuery(outputQuery, context.req.query());
        const task = taskOf(context);
        if (outputOnly !== true) {
          return context.json(taskWithOutput(task));
        }
        return task.hasEnded ? answerEnded(context, task, true) : context.json(taskWithOutput(task), 202);
      },
    },
    {
      method: "get",
      path: "/tasks/{id}/events",
      summary: "What happens to a task, as server-sent events",
      answers: {
        200: {
          description:
            "state, progress, text (with a kind when it is reasoning or a call of a tool), warning; at the end result, error, or the state of a task that was cancelled.",
          mediaType: "text/event-stream",
        },
        ...failures(404),
      },
      handle: (context) => {
        const task = taskOf(context);
        const left = new AbortController();
        const body = streamBody(taskEvents(task, left.signal), { ...options, left });
        return context.body(body, 200, sseHeaders);
      },
    },
    {
      method: "post",
      path: "/tasks/{id}/cancel",
      summary: "End a task at the next token",
      query: cancelQuery,
      answers: { 200: { description: "The task.", body: taskBody }, ...failures(404, 409) },
      handle: async (context) => {
        const { wait_for_completion: wait } = readQuery(cancelQuery, context.req.query());
        const id = context.req.param("id") ?? "";
        const task = taskOf(context, `Task not found: ${id}`);
        if (task.hasEnded) {
          throw new HttpError(409, `Task '${id}' has already finished: ${task.status}.`);
        }
        task.cancel("request");
        if (wait === true) {
          await task.ended;
        }
        return context.json(taskWithOutput(task));
      },
    },
    {
      method: "post",
      path: "/tasks/{id}/resume",
      summary: "Go on after an interrupt; no job here has interrupts",
      answers: {
        200: {
          description: "The task, which goes on. It is not answered here: no job has interrupts.",
          body: taskBody,
        },
        ...failures(404, 409),
      },
      handle: (context) => {
        const task = taskOf(context, `Task not found: ${context.req.param("id") ?? ""}`);
        throw new HttpError(409, `Task '${task.id}' is not interrupted: ${task.status}.`);
      },
    },
  ];
}

/** What a request asks for in its path and its body. @throws HttpError 400 or 422 where they contradict each other */
function runOptions(
  request: RunRequest,
  id: string | undefined,
): { workflow: string; output: "none" | "task" | "only" } {
  const named = request.workflow_id ?? undefined;
  if (id !== undefined && named !== undefined && named !== id) {
    const message = `The field "workflow_id" is "${named}", and the path names the workflow "${id}".`;
    throw new HttpError(422, message, { field: "workflow_id" });
  }
  const waits = request.wait_for_completion ?? true;
  const outputOnly = request.output_only ?? false;
  if (outputOnly && !waits) {
    throw new HttpError(400, "output_only=true requires wait_for_completion=true.");
  }
  return {
    workflow: id ?? named ?? defaultWorkflowId,
    output: waits ? (outputOnly ? "only" : "task") : "none",
  };
}

/** Waits for the run that a request has started, and ends it when the one who waits has left. */
async function answerRun(
  context: Context,
  task: Task,
  outputOnly: boolean,
  options: RouteOptions,
): Promise<Response> {
  const left = new AbortController();
  const cancel = (): void => task.cancel("disconnect");
  left.signal.addEventListener("abort", cancel, { once: true });
  const { signal } = context.req.raw;
  const leave = (): void => left.abort();
  signal.addEventListener("abort", leave, { once: true });
  if (signal.aborted) {
    leave();
  }
  const stream = outputOnly ? await outputStream(task, left.signal) : undefined;
  if (stream !== undefined) {
    return context.body(streamBody(stream.chunks, { ...options, left }), 200, sseHeaders);
  }
  await task.ended;
  signal.removeEventListener("abort", leave);
  return answerEnded(context, task, outputOnly);
}

function answerEnded(context: Context, task: Task, outputOnly: boolean): Response {
  switch (task.status) {
    case "completed":
      return outputOnly ? context.json(task.output?.value ?? null) : context.json(taskWithOutput(task));
    case "failed": {
      const { detail, field, isTheirs } = failureOf(task);
      const body: TaskBody | FailureBody = isTheirs || outputOnly ? { detail, field } : taskWithOutput(task);
      return context.json(body, isTheirs ? 422 : 500);
    }
    case "cancelled":
    case "pending":
    case "processing":
    case "cancelling":
      return context.json(taskWithOutput(task), task.cancelReason === "shutdown" ? 503 : 409);
  }
}

/** What is said of a task that has failed. */
function failureOf({ failure }: Task): { detail: string; field?: string; isTheirs: boolean } {
  if (failure === undefined) {
    throw new Error("a task that failed tells no failure");
  }
  return { detail: failure.detail, field: failure.field, isTheirs: failure.status === 422 };
}
