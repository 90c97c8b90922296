/** The HTTP API over real sockets, with a model that writes at a pace. */
import { createConnection } from "node:net";
import { createParser, type EventSourceMessage } from "eventsource-parser";
import { afterEach, describe, expect, test } from "vitest";
import { startServer, type ComposeServer, type ServerOptions } from "../src/server/server.ts";
import { ModelComposeError } from "../src/base/errors.ts";
import { loadText } from "./support/compose.ts";
import { call, open, until, type Answer, type CallOptions } from "./support/http.ts";
import { PacedModels } from "./support/paced-models.ts";

const component = `component:
  type: model
  task: text-generation
  model: some/model
  action:
    prompt: \${input.prompt as text}
`;
const streaming = `${component}    streaming: true\nworkflow: { output: "\${output}" }\n`;

const servers: ComposeServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close({ timeoutMilliseconds: 0 })));
});

async function serve(
  yaml: string,
  models = new PacedModels(),
  options: Partial<ServerOptions> = {},
): Promise<ComposeServer> {
  const definition = loadText(yaml);
  const server = await startServer(definition, {
    loadModel: models.load,
    port: 0,
    environment: new Map(),
    ...options,
  });
  servers.push(server);
  return server;
}

const run = { input: { prompt: "Hi" } };

function post(
  server: ComposeServer,
  path: string,
  body: unknown,
  options: CallOptions = {},
): Promise<Answer> {
  return call("POST", server.url + path, { body, ...options });
}

function get(server: ComposeServer, path: string, options: CallOptions = {}): Promise<Answer> {
  return call("GET", server.url + path, options);
}

async function begin(server: ComposeServer): Promise<string> {
  const { json } = await post(server, "/workflows/runs", { ...run, wait_for_completion: false });
  return (json as { task_id: string }).task_id;
}

function eventsOf(text: string): EventSourceMessage[] {
  const events: EventSourceMessage[] = [];
  createParser({ onEvent: (event) => events.push(event) }).feed(text);
  return events;
}

function dataOf(event: EventSourceMessage | undefined): unknown {
  return JSON.parse(event?.data ?? "null");
}

describe("runs", () => {
  test("in both spellings, with the task's body", async () => {
    const server = await serve(component);
    for (const path of ["/workflows/runs", "/workflows/__default__/runs", "/workflows/__workflow__/runs"]) {
      const { status, json, headers } = await post(server, path, run);
      expect(status).toBe(200);
      expect(json).toMatchObject({
        task_id: expect.stringMatching(/^[0-9A-HJKMNP-TV-Z]{26}$/) as string,
        status: "completed",
        workflow_id: "__workflow__",
        output: { generated: "Hiw0 w1 w2 w3 " },
        usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
        finish_reason: "eos",
        timings: { prefill_seconds: 0.5, decode_seconds: 2, decode_tokens_per_second: 1.5 },
      });
      expect(json).toHaveProperty("seed");
      expect(json).not.toHaveProperty("error");
      expect(headers["x-task-id"]).toBe((json as { task_id: string }).task_id);
    }
  });

  test("output_only gives the output alone; session_id and metadata are echoed", async () => {
    const server = await serve(component);
    expect((await post(server, "/workflows/runs", { ...run, output_only: true })).json).toEqual({
      generated: "Hiw0 w1 w2 w3 ",
    });
    const given = { ...run, session_id: "s", metadata: { a: [1] } };
    expect((await post(server, "/workflows/runs", given)).json).toMatchObject({
      session_id: "s",
      metadata: { a: [1] },
    });
  });

  test("wait_for_completion: false answers at once; the task tells tokens and text, then the output", async () => {
    const models = new PacedModels();
    models.words = 1000;
    const server = await serve(component, models);
    const { status, json } = await post(server, "/workflows/runs", { ...run, wait_for_completion: false });
    expect(status).toBe(200);
    expect(json).toMatchObject({ status: "pending", workflow_id: "__workflow__" });
    const id = (json as { task_id: string }).task_id;
    await until("words are written", () => models.written > 3);
    const going = await get(server, `/tasks/${id}`);
    expect(going.status).toBe(200);
    expect(going.json).toMatchObject({
      status: "processing",
      text: expect.stringContaining("w0 w1 ") as string,
    });
    expect((going.json as { tokens: number }).tokens).toBeGreaterThan(3);
    expect((await get(server, `/tasks/${id}?output_only=true`)).status).toBe(202);
    const list = await get(server, "/tasks?status=processing");
    expect(list.json).toMatchObject([{ task_id: id }]);
    expect((await get(server, "/tasks?status=completed")).json).toEqual([]);

    const cancelled = await call("POST", `${server.url}/tasks/${id}/cancel?wait_for_completion=true`);
    expect(cancelled.status).toBe(200);
    expect(cancelled.json).toMatchObject({ status: "cancelled" });
    const written = models.written;
    expect(models.active).toBe(0);
    expect((await get(server, `/tasks/${id}?output_only=true`)).status).toBe(409);
    expect((await get(server, `/tasks/${id}`)).json).toMatchObject({ status: "cancelled" });
    const again = await call("POST", `${server.url}/tasks/${id}/cancel`);
    expect(again).toMatchObject({
      status: 409,
      json: { detail: expect.stringContaining("already finished") as string },
    });
    expect(models.written).toBe(written);
  });

  test("a run that waits for its turn is cancelled before it begins", async () => {
    const models = new PacedModels();
    models.words = 1000;
    const server = await serve(`controller: { max_concurrent_count: 1 }\n${component}`, models);
    const first = await begin(server);
    const second = await begin(server);
    await until("the first writes", () => models.written > 0);
    const { json } = await call("POST", `${server.url}/tasks/${second}/cancel?wait_for_completion=true`);
    expect(json).toMatchObject({ status: "cancelled" });
    expect(json).not.toHaveProperty("started_at");
    expect((await get(server, `/tasks/${first}`)).json).toMatchObject({ status: "processing" });
  });

  test("a run that fails is 500 with the task; with output_only, the detail; its task is 200", async () => {
    const models = new PacedModels();
    models.word = () => {
      throw new ModelComposeError("device", 'The model at "/home/somebody/models/x" was lost.');
    };
    const server = await serve(component, models);
    const failed = await post(server, "/workflows/runs", run);
    expect(failed.status).toBe(500);
    const error = 'The model at "x" was lost.';
    expect(failed.json).toMatchObject({ status: "failed", error });
    const { task_id: id } = failed.json as { task_id: string };
    expect(await post(server, "/workflows/runs", { ...run, output_only: true })).toMatchObject({
      status: 500,
      json: { detail: error },
    });
    expect(await get(server, `/tasks/${id}`)).toMatchObject({
      status: 200,
      json: { status: "failed", error },
    });
    expect(await get(server, `/tasks/${id}?output_only=true`)).toMatchObject({
      status: 500,
      json: { detail: error },
    });
  });

  test("a fault of ours tells nothing but where to look", async () => {
    const models = new PacedModels();
    models.word = () => {
      throw new TypeError("cannot read /etc/secret of undefined");
    };
    const faults: string[] = [];
    const server = await serve(component, models, {
      onTask: (_task, _what, error) => faults.push(String(error)),
    });
    const { status, text } = await post(server, "/workflows/runs", run);
    expect(status).toBe(500);
    expect(text).toContain("model-compose logs");
    expect(text).not.toMatch(/secret|undefined|\.ts|\n\s+at /);
    expect(faults).toContain("TypeError: cannot read /etc/secret of undefined");
  });
});

describe("requests that cannot be used", () => {
  test.each<[string, number, unknown, CallOptions["headers"], unknown]>([
    [
      "JSON that is none",
      400,
      "{bad",
      {},
      { detail: expect.stringContaining("Invalid request body") as string },
    ],
    [
      "no content type",
      400,
      "{}",
      { "content-type": "" },
      { detail: "Missing or empty Content-Type header." },
    ],
    ["text", 400, "x", { "content-type": "text/plain" }, { detail: "Unsupported Content-Type: text/plain" }],
    [
      "what begins like JSON and is said to be a form",
      400,
      '{"input": ',
      { "content-type": "application/x-www-form-urlencoded" },
      { detail: expect.stringMatching(/Send JSON with Content-Type: application\/json\.$/) as string },
    ],
    [
      "an input that nothing reads",
      422,
      { input: { prompt: "a", temperatur: 1 } },
      undefined,
      {
        detail: expect.stringContaining('has no input "temperatur"') as string,
        field: "temperatur",
      },
    ],
    ["a list", 422, [], {}, { detail: expect.stringContaining("must be an object") as string }],
    [
      "a misplaced input",
      422,
      { prompt: "Hi" },
      {},
      { field: "prompt", detail: expect.stringContaining('stands in "input"') as string },
    ],
    [
      "an unknown field",
      422,
      { ...run, output_onyl: true },
      {},
      { field: "output_onyl", detail: expect.stringContaining('Did you mean "output_only"') as string },
    ],
    ["a callback", 422, { ...run, callback_url: "http://x" }, {}, { field: "callback_url" }],
    ["no boolean", 422, { ...run, output_only: "maybe" }, {}, { field: "output_only" }],
    [
      "a missing prompt",
      422,
      { input: {} },
      {},
      { field: "prompt", detail: expect.stringContaining("missing") as string },
    ],
    [
      "an unknown workflow",
      404,
      { ...run, workflow_id: "x" },
      {},
      { detail: expect.stringContaining('"x"') as string },
    ],
    [
      "output_only without waiting",
      400,
      { ...run, output_only: true, wait_for_completion: false },
      {},
      { detail: "output_only=true requires wait_for_completion=true." },
    ],
    [
      "depth",
      422,
      `{"input":${"[".repeat(300)}${"]".repeat(300)}}`,
      {},
      { detail: expect.stringContaining("nested") as string },
    ],
  ])("%s: %i", async (_name, status, body, headers, json) => {
    const server = await serve(component);
    expect(await post(server, "/workflows/runs", body, { headers })).toMatchObject({ status, json });
  });

  test("unknown places and methods", async () => {
    const server = await serve(component);
    expect(await get(server, "/nope")).toMatchObject({ status: 404, json: { detail: "Not Found" } });
    expect(await get(server, "/tasks/nope")).toMatchObject({
      status: 404,
      json: { detail: "Task not found." },
    });
    expect(await get(server, "/tasks/nope/events")).toMatchObject({ status: 404 });
    expect(await call("POST", `${server.url}/tasks/nope/cancel`)).toMatchObject({
      status: 404,
      json: { detail: "Task not found: nope" },
    });
    expect(await get(server, "/workflows/runs")).toMatchObject({ status: 405, headers: { allow: "POST" } });
    expect(await get(server, "/tasks?limit=0")).toMatchObject({ status: 422, json: { field: "limit" } });
  });

  test("a body above the limit is 413, whether it says its size or not", async () => {
    const server = await serve(`controller: { max_body_size: 1kB }\n${component}`);
    const body = JSON.stringify({ input: { prompt: "x".repeat(2000) } });
    expect(await post(server, "/workflows/runs", body)).toMatchObject({ status: 413 });
    const chunked = { "transfer-encoding": "chunked" };
    expect(await post(server, "/workflows/runs", body, { headers: chunked })).toMatchObject({ status: 413 });
    expect(await post(server, "/workflows/runs", run, { headers: chunked })).toMatchObject({ status: 200 });
  });

  test("forms in both encodings; uploads are refused", async () => {
    const server = await serve(component);
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const body = "input%5Bprompt%5D=Hi+there&output_only=true";
    expect(await post(server, "/workflows/runs", body, { headers })).toMatchObject({
      status: 200,
      json: { generated: "Hi therew0 w1 w2 w3 " },
    });
    const form = new FormData();
    form.set("input[prompt]", "Hi");
    const sent = await fetch(`${server.url}/workflows/runs`, { method: "POST", body: form });
    expect(await sent.json()).toMatchObject({ output: { generated: "Hiw0 w1 w2 w3 " } });
    form.set("input[file]", new Blob(["x"]), "x.txt");
    const refused = await fetch(`${server.url}/workflows/runs`, { method: "POST", body: form });
    expect(refused.status).toBe(422);
    expect(await refused.json()).toMatchObject({ field: "input[file]" });
  });
});

describe("workflows", () => {
  const two = `workflows:
  - { id: a, title: A, default: true, job: { component: c } }
  - { id: b, private: true, job: { component: c } }
components:
  - id: c
    type: model
    task: text-generation
    model: some/model
    action: { prompt: "\${input.prompt as text | hello @(description What to say)}" }
`;

  test("are listed with what they take; private ones are not there", async () => {
    const server = await serve(two);
    expect((await get(server, "/workflows")).json).toEqual([{ workflow_id: "a", title: "A", default: true }]);
    const schema = {
      workflow_id: "a",
      title: "A",
      default: true,
      input: [
        {
          name: "prompt",
          type: "text",
          is_list: false,
          default: "hello",
          annotations: [{ name: "description", text: "What to say" }],
        },
      ],
    };
    expect((await get(server, "/workflows?include_schema=true")).json).toMatchObject([schema]);
    expect((await get(server, "/workflows/schemas")).json).toMatchObject({ a: schema });
    expect((await get(server, "/workflows/a/schema")).json).toMatchObject(schema);
    expect((await get(server, "/workflows/__default__/schema")).json).toMatchObject(schema);
    const hidden = await get(server, "/workflows/b/schema");
    expect(hidden).toMatchObject({
      status: 404,
      json: { detail: 'There is no workflow "b". Did you mean "a"?' },
    });
    expect((await post(server, "/workflows/b/runs", run)).status).toBe(404);
  });

  test("curl -d without a header: what is plainly JSON is read as JSON", async () => {
    const server = await serve(component);
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const answer = await call("POST", `${server.url}/workflows/runs`, { body: JSON.stringify(run), headers });
    expect(answer).toMatchObject({ status: 200, json: { status: "completed" } });
  });

  test("the root says what is here, to browsers as a page, also to those without the key", async () => {
    const server = await serve(component, new PacedModels(), {
      environment: new Map([["MODEL_COMPOSE_API_KEY", "k"]]),
    });
    const json = await call("GET", `${server.origin}/`, {});
    expect(json).toMatchObject({
      status: 200,
      json: { name: "model-compose", openapi: "/api/openapi.json" },
    });
    const page = await call("GET", `${server.origin}/`, { headers: { accept: "text/html,*/*" } });
    expect(page.text).toContain('<a href="/api/openapi.json">');
    expect((await call("GET", `${server.origin}/api/workflows`, {})).status).toBe(401);
  });

  test("openapi.json: every operation can succeed, and no choice has anything among its alternatives", async () => {
    const { json } = await get(await serve(component), "/openapi.json");
    const { paths } = json as { paths: Record<string, Record<string, { responses: object }>> };
    const operations = Object.values(paths).flatMap((path) => Object.values(path));
    expect(operations.length).toBeGreaterThan(8);
    for (const { responses } of operations) {
      expect(Object.keys(responses).join(" ")).toMatch(/\b2\d\d\b/);
    }
    const choices: unknown[] = [];
    JSON.stringify(json, (key, value: unknown) => {
      if (key === "anyOf") {
        choices.push(...(value as unknown[]));
      }
      return value;
    });
    expect(choices.length).toBeGreaterThan(4);
    expect(choices).not.toContainEqual({});
  });

  test("openapi.json describes every route, and every reference in it leads somewhere", async () => {
    const server = await serve(component);
    const { json, text } = await get(server, "/openapi.json");
    const document = json as {
      paths: Record<string, object>;
      components: { schemas: Record<string, object> };
    };
    expect(Object.keys(document.paths).sort()).toEqual([
      "/health",
      "/openapi.json",
      "/status",
      "/tasks",
      "/tasks/{id}",
      "/tasks/{id}/cancel",
      "/tasks/{id}/events",
      "/tasks/{id}/resume",
      "/v1/chat/completions",
      "/v1/completions",
      "/v1/embeddings",
      "/v1/messages",
      "/v1/messages/count_tokens",
      "/v1/models",
      "/v1/models/{id}",
      "/v1/responses",
      "/workflows",
      "/workflows/runs",
      "/workflows/schemas",
      "/workflows/{id}/runs",
      "/workflows/{id}/schema",
    ]);
    const references = [...text.matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference]) => reference);
    expect(references.length).toBeGreaterThan(10);
    for (const reference of references) {
      expect(document.components.schemas).toHaveProperty([
        reference?.replace("#/components/schemas/", "") ?? "",
      ]);
    }
    expect(document.components.schemas.RunRequest).toMatchObject({
      type: "object",
      properties: { workflow_id: {}, input: {}, wait_for_completion: {}, output_only: {} },
    });
  });
});

describe("status", () => {
  const shared = `components:
  - { id: a, type: model, task: text-generation, model: /home/somebody/models/tales, prompt: "\${input.prompt}" }
  - { id: b, type: model, task: text-generation, model: /home/somebody/models/tales, prompt: "\${input.prompt}" }
  - { id: c, type: model, task: text-to-text, model: some/other, preload: false, prompt: "\${input.prompt}" }
workflow: { component: a }
controller: { max_concurrent_count: 1 }
`;

  test("tells the models, each once, with what is known of those that are loaded, and the runs", async () => {
    const models = new PacedModels();
    models.words = 100_000;
    const memory = { weightBytes: 100, kvCacheBytes: 20, workBytes: 3 };
    const loadModel: ServerOptions["loadModel"] = async (source, options) => ({
      ...(await models.load(source, options)),
      precision: "bfloat16",
      memory,
    });
    const server = await serve(shared, models, { loadModel });
    await server.ready;
    const ids = [await begin(server), await begin(server)];
    await until("words are written", () => models.written > 3);
    const { json } = await get(server, "/status");
    expect(json).toMatchObject({ running: 1, waiting: 1, max_concurrent_count: 1, health: { status: "ok" } });
    expect(Date.parse((json as { started_at: string }).started_at)).toBeLessThanOrEqual(Date.now());
    const loaded = { precision: "bfloat16", device: "wasm (paced)", context_length: 4096 };
    expect((json as { models: unknown }).models).toEqual([
      {
        components: ["a", "b"],
        model: "tales",
        task: "text-generation",
        loaded: true,
        state: "used",
        ...loaded,
        memory: { weight_bytes: 100, kv_cache_bytes: 20, work_bytes: 3 },
      },
      { components: ["c"], model: "some/other", task: "text-to-text", loaded: false, state: "unloaded" },
    ]);
    expect(json).toMatchObject({ memory: { held_bytes: 123 } });
    // The task names the model that writes it, also when it is stopped.
    const [first = "", second = ""] = ids;
    const writing = [{ component: "a", model: "tales", ...loaded }];
    expect((await get(server, `/tasks/${first}`)).json).toMatchObject({ models: writing });
    expect((await get(server, `/tasks/${second}`)).json).not.toHaveProperty("models");
    const stopped = await call("POST", `${server.url}/tasks/${first}/cancel?wait_for_completion=true`);
    expect(stopped.json).toMatchObject({ status: "cancelled", models: writing });
  });
});

describe("streams", () => {
  test("a streaming workflow with output_only is server-sent events, ended by its usage", async () => {
    const models = new PacedModels();
    models.word = (i) => ["a\nb", " c\r\n", "", "\n"][i] ?? "";
    const server = await serve(streaming, models);
    const { headers, text } = await post(server, "/workflows/runs", { ...run, output_only: true });
    expect(headers["content-type"]).toBe("text/event-stream; charset=utf-8");
    expect(headers["cache-control"]).toBe("no-cache");
    const events = eventsOf(text);
    const pieces = events.filter(({ event }) => event === undefined).map(({ data }) => data);
    expect(pieces.join("")).toBe("a\nb c\n\n");
    expect(events.at(-1)?.event).toBe("usage");
    expect(dataOf(events.at(-1))).toMatchObject({ status: "completed", usage: { completion_tokens: 4 } });
  });

  test("without output_only the pieces are joined", async () => {
    const server = await serve(streaming);
    expect((await post(server, "/workflows/runs", run)).json).toMatchObject({ output: "w0 w1 w2 w3 " });
  });

  test("an error in the midst of a stream is an event; one before it is a status", async () => {
    const models = new PacedModels();
    models.word = (i) => {
      if (i === 2) {
        throw new ModelComposeError("device", "The device was lost.");
      }
      return "x";
    };
    const server = await serve(streaming, models);
    const { status, text } = await post(server, "/workflows/runs", { ...run, output_only: true });
    expect(status).toBe(200);
    const events = eventsOf(text);
    expect(events.at(-1)?.event).toBe("error");
    expect(dataOf(events.at(-1))).toMatchObject({ status: "failed", detail: "The device was lost." });
    expect((await post(server, "/workflows/runs", { input: {}, output_only: true })).status).toBe(422);
  });

  test("who leaves ends the run at the next token: a blocking one, and a stream", async () => {
    const models = new PacedModels();
    models.words = 100_000;
    for (const yaml of [component, streaming]) {
      const server = await serve(yaml, models);
      const target = new URL(`${server.url}/workflows/runs`);
      const before = models.written;
      const body = JSON.stringify({ ...run, output_only: true });
      const socket = createConnection(Number(target.port), target.hostname);
      socket.write(
        `POST ${target.pathname} HTTP/1.1\r\nhost: ${target.host}\r\ncontent-type: application/json\r\n` +
          `content-length: ${body.length}\r\n\r\n${body}`,
      );
      await until("words are written", () => models.written > before + 3);
      socket.destroy();
      await until("nothing is written any more", () => models.active === 0);
      await until("it is cancelled", () => server.service.tasks.list()[0]?.status === "cancelled");
    }
  });

  test("a slow reader slows nothing and costs nothing: what it missed comes as one piece", async () => {
    const models = new PacedModels();
    models.words = 300;
    models.pause = 0;
    models.word = (i) => `${i}:${"x".repeat(20_000)} `;
    const server = await serve(streaming, models);
    const response = await open("POST", `${server.url}/workflows/runs`, {
      body: { ...run, output_only: true },
    });
    response.pause();
    // The output has six megabytes, more than sockets hold: the run ends while its reader has read nothing.
    await until("the run has ended", () => server.service.tasks.list()[0]?.status === "completed");
    let text = "";
    for await (const chunk of response.setEncoding("utf8")) {
      text += chunk as string;
    }
    const pieces = eventsOf(text).filter(({ event }) => event === undefined);
    expect(pieces.length).toBeLessThan(300);
    const numbers = [
      ...pieces
        .map(({ data }) => data)
        .join("")
        .matchAll(/(\d+):/g),
    ].map(([, n]) => Number(n));
    expect(numbers).toEqual(Array.from({ length: 300 }, (_, i) => i));
  });

  test("heartbeats are comments", async () => {
    const models = new PacedModels();
    models.pause = 200;
    models.words = 3;
    const server = await serve(streaming, models, { heartbeatSeconds: 0.05 });
    const { text } = await post(server, "/workflows/runs", { ...run, output_only: true });
    expect(text.match(/^:$/gm)?.length).toBeGreaterThan(2);
    expect(
      eventsOf(text)
        .map(({ data }) => data)
        .slice(0, 3),
    ).toEqual(["w0 ", "w1 ", "w2 "]);
  });
});

describe("events of a task", () => {
  test("state, text and result, from the first on, for any number of readers", async () => {
    const models = new PacedModels();
    models.words = 30;
    models.pause = 5;
    const server = await serve(component, models);
    const id = await begin(server);
    await until("words are written", () => models.written > 5);
    const read = async (): Promise<EventSourceMessage[]> =>
      eventsOf((await get(server, `/tasks/${id}/events`)).text);
    for (const events of await Promise.all([read(), read()])) {
      expect(events[0]?.event).toBe("state");
      expect(dataOf(events[0])).toMatchObject({ task_id: id, status: "processing" });
      const texts = events
        .filter(({ event }) => event === "text")
        .map((event) => dataOf(event) as { text: string });
      expect(texts.map(({ text }) => text).join("")).toMatch(/^w0 .* w29 $/);
      expect(texts.length).toBeGreaterThan(2);
      expect(events.at(-1)?.event).toBe("result");
      expect(dataOf(events.at(-1))).toMatchObject({ status: "completed", output: { generated: /^Hiw0/ } });
    }
    const late = await read();
    expect(late.map(({ event }) => event)).toEqual(["result"]);
  });

  test("of a task that fails, and of one that is cancelled", async () => {
    const models = new PacedModels();
    models.words = 100_000;
    const server = await serve(component, models);
    const id = await begin(server);
    const events = get(server, `/tasks/${id}/events`);
    await until("words are written", () => models.written > 3);
    await call("POST", `${server.url}/tasks/${id}/cancel`);
    const last = eventsOf((await events).text).at(-1);
    expect(last?.event).toBe("state");
    expect(dataOf(last)).toMatchObject({ status: "cancelled" });

    const { json } = await post(server, "/workflows/runs", { input: {}, wait_for_completion: false });
    const failed = await get(server, `/tasks/${(json as { task_id: string }).task_id}/events`);
    const error = eventsOf(failed.text).at(-1);
    expect(error?.event).toBe("error");
    expect(dataOf(error)).toMatchObject({ status: "failed", field: "prompt" });
  });
});

describe("load", () => {
  const bounded = `controller: { max_concurrent_count: 1, max_queue_count: 2 }\n${component}`;

  test("one at a time, in order; a full queue is 429 with Retry-After", async () => {
    const models = new PacedModels();
    models.words = 100;
    models.pause = 3;
    const server = await serve(bounded, models);
    await server.ready;
    const ids = [await begin(server), await begin(server), await begin(server)];
    const full = await post(server, "/workflows/runs", run);
    expect(full).toMatchObject({
      status: 429,
      json: { detail: expect.stringContaining("max_queue_count") as string },
    });
    expect(Number(full.headers["retry-after"])).toBeGreaterThanOrEqual(1);
    await until("all have ended", async () => {
      const { json } = await get(server, "/tasks?status=completed");
      return (json as unknown[]).length === 3;
    });
    expect(models.mostActive).toBe(1);
    const { json } = await get(server, "/tasks");
    const newestFirst = json as { task_id: string; started_at: string }[];
    expect(newestFirst.map(({ task_id }) => task_id)).toEqual(ids.toReversed());
    const starts = newestFirst.map(({ started_at }) => started_at);
    expect(starts).toEqual(starts.toSorted().toReversed());
  });

  test("while models load, health is 503 with progress, and runs wait", async () => {
    const models = new PacedModels();
    const loaded = Promise.withResolvers<void>();
    models.loaded = loaded.promise;
    const server = await serve(component, models);
    const progress = { component: "__component__", stage: "weights", done: 1, total: 4 };
    for (const url of [`${server.url}/health`, `${server.origin}/health`]) {
      expect(await call("GET", url)).toMatchObject({ status: 503, json: { status: "loading", progress } });
    }
    const answer = post(server, "/workflows/runs", run);
    await until("the run waits", () => server.service.running === 1);
    loaded.resolve();
    await server.ready;
    expect((await answer).status).toBe(200);
    expect(await get(server, "/health")).toMatchObject({ status: 200, json: { status: "ok" } });
  });

  test("while_loading: refuse answers 503 with Retry-After", async () => {
    const models = new PacedModels();
    const loaded = Promise.withResolvers<void>();
    models.loaded = loaded.promise;
    const server = await serve(`controller: { while_loading: refuse }\n${component}`, models);
    const refused = await post(server, "/workflows/runs", run);
    expect(refused).toMatchObject({ status: 503, headers: { "retry-after": "5" } });
    loaded.resolve();
    await server.ready;
    expect((await post(server, "/workflows/runs", run)).status).toBe(200);
  });

  test("a load that fails rejects ready", async () => {
    const models = new PacedModels();
    models.loaded = Promise.reject(new ModelComposeError("not-found", "No such model."));
    models.loaded.catch(() => undefined);
    const server = await serve(component, models);
    await expect(server.ready).rejects.toThrow("No such model.");
  });
});

describe("a model that is lost", () => {
  const lose = async (models: PacedModels): Promise<void> => {
    const { lost } = models;
    models.lost = Promise.withResolvers<ModelComposeError>();
    lost.resolve(new ModelComposeError("device", "A compute worker was lost: out of memory in /home/me."));
    await new Promise((resolve) => setTimeout(resolve, 0));
  };

  test("is loaded again: health is 503 with the reason meanwhile, and runs wait", async () => {
    const models = new PacedModels();
    const server = await serve(component, models);
    await server.ready;
    const loaded = Promise.withResolvers<void>();
    models.loaded = loaded.promise;
    await lose(models);
    const health = await get(server, "/health");
    expect(health).toMatchObject({
      status: 503,
      json: {
        status: "loading",
        reason: expect.stringContaining(
          "was lost and is being loaded again: A compute worker was lost",
        ) as string,
        progress: { component: "__component__", stage: "weights" },
      },
    });
    expect(health.text).not.toContain("/home/me");
    const answer = post(server, "/workflows/runs", run);
    await until("the run waits", () => server.service.running === 1);
    loaded.resolve();
    expect((await answer).status).toBe(200);
    expect(await get(server, "/health")).toMatchObject({ status: 200, json: { status: "ok" } });
  });

  test("three times in a row stays 503, and runs fail with the reason", async () => {
    const models = new PacedModels();
    const server = await serve(component, models);
    await server.ready;
    for (let i = 0; i < 3; i++) {
      await lose(models);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(await get(server, "/health")).toMatchObject({ status: 503, json: { status: "failed" } });
    const answer = await post(server, "/workflows/runs", run);
    expect(answer.status).toBe(500);
    expect(answer.text).toContain("was lost 3 times in a row and is not loaded again");
  });
});

describe("callers who leave", () => {
  test("in the middle of a body, of an answer or of a stream are no faults of ours", async () => {
    const faults: unknown[] = [];
    const models = new PacedModels();
    models.words = 1000;
    models.pause = 2;
    const server = await serve(streaming, models, { onFault: (error) => faults.push(error) });
    const { port } = new URL(server.origin);
    const head = "POST /api/workflows/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n";
    for (const rest of ["Content-Length: 1000\r\n\r\n{", 'Transfer-Encoding: chunked\r\n\r\n5\r\n{"inp']) {
      for (const leave of ["destroy", "resetAndDestroy"] as const) {
        const socket = createConnection(Number(port), "127.0.0.1");
        await new Promise<void>((resolve) => socket.write(head + rest, () => resolve()));
        await new Promise((resolve) => setTimeout(resolve, 20));
        socket[leave]();
      }
    }
    const stream = await open("POST", `${server.url}/workflows/runs`, {
      body: { ...run, output_only: true },
    });
    await until("it writes", () => models.written > 3);
    stream.destroy();
    await until("it ends", () => models.active === 0);
    const id = await begin(server);
    const events = await open("GET", `${server.url}/tasks/${id}/events`);
    events.destroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(faults).toEqual([]);
    expect((await get(server, "/health")).status).toBe(200);
  });
});

describe("closing", () => {
  test("ends whatever hangs", async () => {
    const models = new PacedModels();
    const hang = Promise.withResolvers<void>();
    models.hang = hang.promise;
    const server = await serve(component, models);
    const answer = post(server, "/workflows/runs", run).catch((error: unknown) => error);
    await until("it runs", () => models.active > 0);
    await server.close({ timeoutMilliseconds: 0, graceMilliseconds: 20 });
    await expect(get(server, "/health")).rejects.toThrow("ECONNREFUSED");
    expect(models.disposed).toBe(1);
    hang.resolve();
    await answer;
  });

  test("lets runs end that end in time, and takes no more", async () => {
    const models = new PacedModels();
    models.words = 100;
    models.pause = 3;
    const server = await serve(component, models);
    const answer = post(server, "/workflows/runs", run);
    await until("it writes", () => models.written > 0);
    const closed = server.close({ timeoutMilliseconds: 60_000 });
    expect(await get(server, "/health")).toMatchObject({ status: 503, json: { status: "shutting_down" } });
    expect(await post(server, "/workflows/runs", run)).toMatchObject({ status: 503 });
    expect((await answer).json).toMatchObject({ status: "completed" });
    await closed;
    expect(models.disposed).toBe(1);
    await expect(get(server, "/health")).rejects.toThrow("ECONNREFUSED");
  });

  test("cancels those that do not, and their waiters hear of it", async () => {
    const models = new PacedModels();
    models.words = 100_000;
    const server = await serve(`controller: { max_concurrent_count: 1 }\n${component}`, models);
    const answers = [post(server, "/workflows/runs", run), post(server, "/workflows/runs", run)];
    await until("one writes and one waits", () => models.written > 0 && server.service.waiting === 1);
    await server.close({ timeoutMilliseconds: 50 });
    for (const answer of await Promise.all(answers)) {
      expect(answer).toMatchObject({ status: 503, json: { status: "cancelled" } });
    }
    expect(models.active).toBe(0);
  });
});

describe("callers", () => {
  test("pages of other origins are refused, unless origins lists them", async () => {
    const server = await serve(`controller: { origins: "https://a.example" }\n${component}`);
    const health = `${server.url}/health`;
    const statusFor = async (headers: Record<string, string>): Promise<number> =>
      (await call("GET", health, { headers })).status;
    await server.ready;
    expect(await statusFor({ origin: "https://evil.example" })).toBe(403);
    expect(await statusFor({ origin: "null" })).toBe(403);
    expect(await statusFor({ "sec-fetch-site": "cross-site" })).toBe(403);
    expect(await statusFor({ "sec-fetch-site": "same-origin" })).toBe(200);
    expect(await statusFor({ origin: server.origin })).toBe(200);
    expect(await statusFor({ origin: "http://localhost:8081" })).toBe(200);
    const allowed = await call("GET", health, {
      headers: { origin: "https://a.example", "sec-fetch-site": "cross-site" },
    });
    expect(allowed).toMatchObject({
      status: 200,
      headers: { "access-control-allow-origin": "https://a.example" },
    });
    const preflight = await call("OPTIONS", `${server.url}/workflows/runs`, {
      headers: { origin: "https://a.example", "access-control-request-method": "POST" },
    });
    expect(preflight).toMatchObject({
      status: 204,
      headers: { "access-control-allow-origin": "https://a.example" },
    });
    expect(preflight.headers["access-control-allow-methods"]).toContain("POST");
    const foreign = await call("POST", `${server.url}/workflows/runs`, {
      body: run,
      headers: { origin: "https://evil.example" },
    });
    expect(foreign.status).toBe(403);
    expect(server.service.tasks.list()).toEqual([]);
  });

  test("a name that is not the server's is refused", async () => {
    const server = await serve(component, new PacedModels(), { allowedHosts: ["models.example"] });
    await server.ready;
    const statusFor = async (host: string): Promise<number> =>
      (await get(server, "/health", { headers: { host } })).status;
    expect(await statusFor("evil.example:80")).toBe(403);
    expect(await statusFor("localhost.evil.example")).toBe(403);
    expect(await statusFor("localhost:1234")).toBe(200);
    expect(await statusFor("[::1]:1234")).toBe(200);
    expect(await statusFor("MODELS.example")).toBe(200);
  });

  test("with a key, everything but health wants it", async () => {
    const environment = new Map([["MODEL_COMPOSE_API_KEY", "s3cret"]]);
    const server = await serve(component, new PacedModels(), { environment });
    await server.ready;
    expect((await get(server, "/health")).status).toBe(200);
    expect((await call("GET", `${server.origin}/health`)).status).toBe(200);
    for (const path of ["/workflows", "/tasks", "/openapi.json", "/nope"]) {
      expect(await get(server, path)).toMatchObject({
        status: 401,
        headers: { "www-authenticate": "Bearer" },
      });
    }
    expect((await post(server, "/workflows/runs", run)).status).toBe(401);
    expect((await get(server, "/tasks", { headers: { authorization: "Bearer s3cre" } })).status).toBe(401);
    expect((await get(server, "/tasks", { headers: { authorization: "Bearer s3cret" } })).status).toBe(200);
    expect((await get(server, "/tasks", { headers: { "x-api-key": "s3cret" } })).status).toBe(200);
  });

  test("listening for other machines warns, and says whether a key is wanted", async () => {
    const open = `controller: { host: 0.0.0.0 }\n${component}`;
    const warnings: string[] = [];
    const onWarning = (message: string): unknown => warnings.push(message);
    await serve(open, new PacedModels(), { onWarning });
    expect(warnings).toEqual([expect.stringMatching(/0\.0\.0\.0.*Anybody.*MODEL_COMPOSE_API_KEY/)]);
    const environment = new Map([["MODEL_COMPOSE_API_KEY", "s3cret"]]);
    await serve(open, new PacedModels(), { onWarning, environment });
    expect(warnings[1]).toContain("An API key is required.");
    await serve(component, new PacedModels(), { onWarning });
    expect(warnings).toHaveLength(2);
  });

  test("a port that is in use is named", async () => {
    const server = await serve(component);
    const port = Number(new URL(server.origin).port);
    await expect(serve(component, new PacedModels(), { port })).rejects.toThrow(
      `cannot listen on 127.0.0.1:${port}: the port is in use. Stop what uses it`,
    );
  });
});
