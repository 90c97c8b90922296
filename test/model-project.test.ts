/** What `up --model` serves: the workflows and models that a file with this model alone would have. */
import { cpSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { CommandContext, Project } from "../src/cli/commands/run.ts";
import { openProject, projectFilesOf } from "../src/cli/model-project.ts";
import { Terminal } from "../src/cli/terminal.ts";
import { inferSchema } from "../src/compose/analysis/inferred-schema.ts";
import { modelKey } from "../src/compose/analysis/model-key.ts";
import { allComponents } from "../src/compose/definition/definition.ts";
import { startServer, type ComposeServer } from "../src/server/server.ts";
import { FakeModels } from "./support/compose.ts";
import { call } from "./support/http.ts";
import { temporaryDirectory } from "./support/model-files.ts";

const tales = path.resolve(import.meta.dirname, "../models/tales");

/** The bundled model with a chat template. */
function chatModel(name = "chatty"): string {
  const folder = path.join(temporaryDirectory(), name);
  cpSync(tales, folder, { recursive: true });
  writeFileSync(
    path.join(folder, "chat_template.jinja"),
    "{% for m in messages %}{{ m.content }}{% endfor %}",
  );
  return folder;
}

const models = new FakeModels();
const context: CommandContext = {
  terminal: new Terminal({ quiet: true }),
  signal: new AbortController().signal,
  loadModel: models.load,
};

const open = (model: string, flags: object = {}): Promise<Project> =>
  openProject({ model, ...flags }, context);

const servers: ComposeServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close({ timeoutMilliseconds: 0 })));
});

async function serve(project: Project): Promise<ComposeServer> {
  const server = await startServer(project.definition, {
    loadModel: models.load,
    port: 0,
    environment: new Map(),
  });
  servers.push(server);
  return server;
}

test("a model without a chat template continues texts", async () => {
  const { definition } = await open("tales");
  const [component] = allComponents(definition);
  expect(allComponents(definition)).toHaveLength(1);
  expect(component).toMatchObject({ task: "text-generation", model: { name: "tales", source: "tales" } });
  const [workflow] = definition.workflows;
  expect(
    inferSchema(definition, workflow).input.map(({ name, default: fallback }) => [name, fallback]),
  ).toEqual([
    ["prompt", undefined],
    ["max_output_length", 1024],
    ["temperature", 0.7],
    ["seed", undefined],
  ]);
  const server = await serve({ definition, environment: new Map() });
  const run = await call("POST", `${server.url}/workflows/runs`, { body: { input: { prompt: "Once" } } });
  expect(run).toMatchObject({
    status: 200,
    json: { output: { generated: expect.stringMatching(/^Once <\d/) as string } },
  });
  expect(await call("GET", `${server.origin}/v1/models`)).toMatchObject({
    json: { data: [{ id: "tales" }] },
  });
});

test("a model with a chat template answers too, and is loaded once for both", async () => {
  const { definition } = await open(chatModel());
  const components = allComponents(definition);
  expect(components.map((one) => one.type === "model" && one.task)).toEqual([
    "chat-completion",
    "text-generation",
  ]);
  expect(new Set(components.map((one) => one.type === "model" && modelKey(one))).size).toBe(1);
  const server = await serve({ definition, environment: new Map() });
  const loads = models.loads.length;
  const input = { prompt: "Hello", history: [{ role: "user", content: "Before" }] };
  const chat = await call("POST", `${server.url}/workflows/runs`, { body: { input } });
  expect(chat).toMatchObject({ status: 200, json: { workflow_id: "chat", output: { generated: "Hello." } } });
  expect(models.chats.at(-1)?.messages.map(({ content }) => content)).toEqual(["Before", "Hello"]);
  const text = await call("POST", `${server.url}/workflows/text/runs`, {
    body: { input: { prompt: "Once" } },
  });
  expect(text).toMatchObject({
    status: 200,
    json: { output: { generated: expect.stringMatching(/^Once/) as string } },
  });
  expect(models.loads.length - loads).toBeLessThanOrEqual(1);
  const { json } = await call("GET", `${server.origin}/v1/models`);
  const [{ id = "" } = {}] = (json as { data: { id: string }[] }).data;
  expect(id).toContain("chatty");
  const body = { model: id, messages: [{ role: "user", content: "Hi" }] };
  expect(await call("POST", `${server.origin}/v1/chat/completions`, { body })).toMatchObject({ status: 200 });
});

describe("the flags", () => {
  test("say how the model is held", async () => {
    const held = {
      precision: "stored",
      quantization: "int4",
      activations: "float32",
      kvPrecision: "float16",
    };
    const { definition } = await open("tales", { ...held, contextLength: 512, quantizedCache: false });
    expect(allComponents(definition)[0]).toMatchObject({ ...held, contextLength: 512 });
  });

  test.each([
    [{ precision: "double" }, /precision 'double'.*--precision/],
    [{ quantization: "int2" }, /int2.*--quantization/],
    [{ contextLength: 0 }, /--context-length must be an integer >= 1, found 0/],
    [{ file: ["a.yml"] }, /two projects/],
  ])("%o are refused", async (flags, message) => {
    await expect(open("tales", flags)).rejects.toThrow(message);
  });

  test.each([
    [{ quantization: "int8" }, "write quantization: into the file's component"],
    [{ quantizedCache: false }, "--no-quantized-cache is for a model without a compose file"],
  ])("%o are refused without a model", async (flags, message) => {
    await expect(openProject(flags, context)).rejects.toThrow(message);
  });
});

test("a folder is one project by whatever path, a name that looks like a placeholder is a name", async () => {
  const folder = chatModel("a ${input.b} c");
  const relative = path.relative(process.cwd(), folder);
  expect(await projectFilesOf({ model: relative })).toEqual(await projectFilesOf({ model: folder }));
  expect(await projectFilesOf({ model: "tales" })).toEqual(await projectFilesOf({ model: tales }));
  expect(await projectFilesOf({ model: "org/name" })).toEqual(["model:org/name"]);
  const { definition } = await open(folder);
  expect(allComponents(definition)[0]).toMatchObject({ model: { source: folder } });
  expect(definition.controller.name).toBe("a ${input.b} c");
});
