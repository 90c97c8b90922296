import { readdirSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { ComposeDefinition } from "../src/compose/definition/definition.ts";
import { inferSchema } from "../src/compose/analysis/inferred-schema.ts";
import { loadCompose } from "../src/compose/load.ts";
import { ModelHost } from "../src/compose/model-host.ts";
import { Engine } from "../src/compose/run/engine.ts";
import type { RunEvent } from "../src/compose/run/events.ts";
import { loadModelSized } from "../src/models/model.ts";
import { eventsOf } from "./support/compose.ts";

const examples = path.resolve(import.meta.dirname, "..", "examples");
const textGeneration = path.join(examples, "model-tasks");
/** A compose file with the bundled model in place of the big ones. */
const bundled = path.join(examples, "bundled-model.yml");
const host = new ModelHost(loadModelSized, {}, { device: "wasm" });

afterAll(() => host.dispose());

function load(files: readonly string[], env: Record<string, string> = {}): ComposeDefinition {
  return loadCompose(files, { environment: new Map(Object.entries(env)) });
}

async function events(definition: ComposeDefinition, input: unknown, workflow?: string): Promise<RunEvent[]> {
  const all: RunEvent[] = [];
  for await (const event of new Engine(definition, host).run({ input, workflow })) {
    all.push(event);
  }
  return all;
}

async function output(definition: ComposeDefinition, input: unknown, workflow?: string): Promise<unknown> {
  return eventsOf(await events(definition, input, workflow), "result")[0]?.result.output;
}

const folders = readdirSync(textGeneration);

test("every example of the documentation stands in both dialects and has a README", () => {
  expect(folders.toSorted()).toEqual([
    "chat-completion",
    "text-generation",
    "text-generation-batch",
    "text-generation-models",
    "text-generation-parameters",
    "text-generation-template",
    "text-generation-templating",
    "text-to-text",
  ]);
  for (const folder of folders) {
    const files = readdirSync(path.join(textGeneration, folder)).toSorted();
    expect(files, folder).toEqual(["README.md", "model-compose.yml", "newer.yml"]);
  }
});

test.each(folders)("both dialects of %s mean the same", (folder) => {
  const [older, newer] = ["model-compose.yml", "newer.yml"].map((file) => {
    const definition = load([path.join(textGeneration, folder, file)]);
    const { controller, workflows } = definition;
    return { controller, schemas: workflows.map((workflow) => inferSchema(definition, workflow)) };
  });
  expect(newer).toEqual(older);
});

describe.each(["model-compose.yml", "newer.yml"])("%s does what the documentation promises:", (file) => {
  const example = (folder: string): ComposeDefinition =>
    load([path.join(textGeneration, folder, file), bundled]);

  test.each(["text-generation", "text-generation-models"])(
    "%s: the text, beginning with the prompt",
    async (folder) => {
      const prompt = "Once upon a time in a distant galaxy";
      const result = await output(example(folder), { prompt });
      expect(result).toEqual({
        generated: expect.stringMatching(/^Once upon a time in a distant galaxy./s) as string,
      });
      await expect(output(example(folder), {})).rejects.toMatchObject({ field: "prompt" });
    },
  );

  test("parameters: those of the input, in their ranges", async () => {
    const definition = example("text-generation-parameters");
    // At temperature 0 every token is the likeliest, so that the text is the same again.
    const input = { prompt: "Once upon a time", temperature: 0 };
    expect(await output(definition, input)).toEqual(await output(definition, input));
    await expect(output(definition, { ...input, top_p: 2 })).rejects.toThrow(
      "top_p must be a number > 0 and <= 1, found 2",
    );
    await expect(output(definition, { ...input, temperature: "hot" })).rejects.toThrow("to a number");
  });

  test("templating: the prompt around the instruction", async () => {
    const result = await output(example("text-generation-templating"), { instruction: "Sing ${input.x}!" });
    expect((result as { generated: string }).generated).toMatch(
      /^### Instruction:\nSing \$\{input\.x\}!\n\n### Response:\n./s,
    );
  });

  test("batch: a text for each prompt, the bare text of one, the missing prompt by name", async () => {
    const definition = example("text-generation-batch");
    const prompts = ["Once upon a time", "The king said"];
    const both = await output(definition, { batch_size: 2, prompts });
    expect(both).toEqual(
      prompts.map((prompt) => expect.stringMatching(new RegExp(`^${prompt}.`, "s")) as string),
    );
    expect(await output(definition, { batch_size: 1, prompts })).toMatch(/^Once upon a time./s);
    await expect(output(definition, { batch_size: 3, prompts })).rejects.toMatchObject({
      field: "prompts[2]",
    });
    for (const batch_size of [0, 1.5, -1, "many", null]) {
      await expect(output(definition, { batch_size, prompts })).rejects.toMatchObject({
        code: "invalid-input",
        field: "batch_size",
      });
    }
  });

  test("template: its default with the topic, or the one of the input as it is", async () => {
    const definition = example("text-generation-template");
    expect(await output(definition, { topic: "the sea" })).toMatchObject({
      generated: expect.stringMatching(/^Generate text about: the sea./s) as string,
    });
    expect(await output(definition, { template: "About ${input.topic}", topic: "x" })).toMatchObject({
      generated: expect.stringMatching(/^About \$\{input\.topic\}./s) as string,
    });
  });
});

test("workflows: chapters one after the other, heroes beside each other", async () => {
  const definition = load([path.join(examples, "workflows", "model-compose.yml")]);
  const told = await events(definition, { hero: "cat", chapters: 2 });
  const [first, second] = eventsOf(told, "generation-ended").map(({ record }) => record?.result);
  const result = eventsOf(told, "result")[0]?.result.output;
  const beginning = "Once upon a time there was a cat";
  expect(result).toEqual({ tale: beginning + first?.newText + second?.newText });
  const short = await events(definition, { hero: "cat" });
  expect(eventsOf(short, "generation-ended")).toHaveLength(1);
  await expect(events(definition, { chapters: 3 })).rejects.toThrow("expected one of 1, 2, found 3");

  expect(await output(definition, { heroes: ["cat", "mouse"] }, "heroes")).toEqual(
    ["cat", "mouse"].map((hero) => ({
      hero,
      tale: expect.stringMatching(new RegExp(`^Once upon a time there was a ${hero}.`, "s")) as string,
    })),
  );
});

test("remote-engine: the answer of an OpenAI-compatible engine, as it streams", async () => {
  const seen: unknown[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => (body += text));
    request.on("end", () => {
      seen.push(request.url, request.headers.authorization, JSON.parse(body));
      response.writeHead(200, { "content-type": "text/event-stream" });
      for (const content of ["Because", " of\n", "Rayleigh."]) {
        response.write(`data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`);
      }
      response.end("data: [DONE]\n\n");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    const file = path.join(examples, "remote-engine", "model-compose.yml");
    const definition = load([file], { ENGINE_URL: `http://127.0.0.1:${port}/v1`, ENGINE_API_KEY: "key" });
    const all = await events(definition, { prompt: "Why is the sky blue?", temperature: 0.2 });
    expect(eventsOf(all, "output").map(({ value }) => value)).toEqual(["Because", " of\n", "Rayleigh."]);
    expect(eventsOf(all, "result")[0]?.result).toMatchObject({
      output: "Because of\nRayleigh.",
      streamed: true,
    });
    expect(seen).toEqual([
      "/v1/chat/completions",
      "Bearer key",
      {
        model: "HuggingFaceTB/SmolLM3-3B",
        messages: [{ role: "user", content: "Why is the sky blue?" }],
        temperature: 0.2,
        stream: true,
      },
    ]);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
