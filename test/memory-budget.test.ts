/** Two models of one file whose memory does not hold both: loaded, unloaded and loaded again while runs come for both. */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { LoadTextModel } from "../src/compose/model-host.ts";
import { loadModel, loadModelSized, type ModelMemory } from "../src/models/model.ts";
import { startServer, type ComposeServer } from "../src/server/server.ts";
import { loadText } from "./support/compose.ts";
import { modelPath } from "./support/golden.ts";

const CONTEXT = 256;
let scratch: string;
let need: number;
const folders: string[] = [];

const bytesOf = ({ weightBytes, workBytes, kvCacheBytes }: ModelMemory): number =>
  weightBytes + workBytes + kvCacheBytes;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "model-compose-budget-"));
  for (const name of ["one", "two"]) {
    folders.push(join(scratch, name));
    cpSync(modelPath("tales"), join(scratch, name), { recursive: true });
  }
  const model = await loadModel(folders[0], {
    device: "wasm",
    threads: 1,
    contextLength: CONTEXT,
    maxConcurrency: 1,
  });
  need = bytesOf(model.memory);
  await model.dispose();
});

afterAll(() => {
  rmSync(scratch, { recursive: true });
});

const component = (id: string, folder = ""): string =>
  `  - { id: ${id}, type: model, task: text-generation, model: ${JSON.stringify(folder)}, context_length: ${CONTEXT}, ` +
  `max_output_length: 8, do_sample: false, return_full_text: false, prompt: "\${input.prompt}" }`;

/** Serves both models within a budget, with what was in memory at most and what was told. */
async function served<T>(
  budget: number,
  use: (server: ComposeServer, seen: { most: number; notices: string[]; loads: number }) => Promise<T>,
): Promise<T> {
  const yaml = `controller: { memory_budget: ${budget} }
components:
${component("a", folders[0])}
${component("b", folders[1])}
workflows:
  - { id: one, job: { component: a, input: "\${input}" } }
  - { id: two, job: { component: b, input: "\${input}" } }
`;
  const seen = { most: 0, notices: [] as string[], loads: 0 };
  let held = 0;
  const load: LoadTextModel = async (source, options) => {
    const model = await loadModelSized(source, options);
    const bytes = bytesOf(model.memory);
    seen.loads += 1;
    held += bytes;
    seen.most = Math.max(seen.most, held);
    const dispose = model.dispose.bind(model);
    model.dispose = async () => {
      await dispose();
      held -= bytes;
    };
    return model;
  };
  const server = await startServer(loadText(yaml), {
    loadModel: load,
    overrides: { device: "wasm", threads: 1 },
    port: 0,
    environment: new Map<string, string>(),
    onNotice: (line) => seen.notices.push(line),
  });
  try {
    return await use(server, seen);
  } finally {
    await server.close({ timeoutMilliseconds: 0 });
  }
}

test("runs on both take turns: never more than the budget, none is lost, and the texts are what they are alone", async () => {
  const budget = Math.floor(1.5 * need);
  await served(budget, async (server, seen) => {
    await server.ready;
    const get = async (path: string): Promise<Record<string, unknown>> =>
      (await (await fetch(server.localUrl + path)).json()) as Record<string, unknown>;
    expect(await get("/status")).toMatchObject({
      health: { status: "ok" },
      memory: { budget_bytes: budget },
      models: [{ state: "idle" }, { state: "unloaded" }],
    });
    expect(seen.notices.join("\n")).toMatch(
      /The model .*two has no room beside those that are loaded: it needs .* of the memory budget of .* It is loaded when it is called\./,
    );
    const stages = new Set<string>();
    let told = false;
    // Somebody has the first model until a run on the second one waits for its memory.
    const waits = Promise.withResolvers<void>();
    const [first] = server.service.definition.components;
    if (first?.type !== "model") {
      throw new Error("the first component is no model");
    }
    const { signal } = new AbortController();
    const loan = server.service.lend(first, 0, signal, () => waits.promise);
    const runs = Array.from({ length: 4 }, async (_, i) => {
      const task = server.service.start({
        workflow: i % 2 === 0 ? "one" : "two",
        input: { prompt: i < 2 ? "Once upon a time" : "The cat" },
      });
      for await (const batch of task.log?.read() ?? []) {
        for (const event of batch) {
          if (event.type === "loading") {
            stages.add(event.progress.stage);
            if (event.progress.stage === "memory") {
              waits.resolve();
            }
            const { status, progress } = (await get("/health")) as { status: string; progress?: object };
            expect(status).toBe("ok");
            told ||= progress !== undefined;
          }
        }
      }
      expect(task.status).toBe("completed");
      return task.output?.value;
    });
    const texts = await Promise.all(runs);
    await loan;
    expect(texts[0]).toEqual(texts[1]);
    expect(texts[2]).toEqual(texts[3]);
    expect(texts[2]).not.toEqual(texts[0]);
    expect(told).toBe(true);
    expect(stages).toContain("memory");
    expect(stages).toContain("weights");
    expect(seen.loads).toBeGreaterThan(1);
    expect(seen.most).toBeLessThanOrEqual(budget);
    // What is there for more sequences at once is taken too.
    expect(seen.most).toBeGreaterThan(need);
  });
});

test("a budget that holds both loads both, and no more", async () => {
  await served(Math.floor(2.2 * need), async (server, seen) => {
    await server.ready;
    // Neither takes for more sequences what the other needs.
    expect([seen.loads, seen.notices.filter((line) => line.includes("unloaded"))]).toEqual([2, []]);
    expect(seen.most).toBeLessThanOrEqual(2.2 * need);
    const body = (await (await fetch(`${server.localUrl}/status`)).json()) as {
      memory: { held_bytes: number };
    };
    expect(body.memory.held_bytes).toBe(seen.most);
  });
});

test("a budget of what one needs is what one takes, and nothing for more sequences", async () => {
  await served(need, async (server, seen) => {
    await server.ready;
    expect([seen.loads, seen.most]).toEqual([1, need]);
  });
});

test("a model that does not fit alone fails with the budget, its need and what would help", async () => {
  await served(Math.floor(0.9 * need), async (server) => {
    await expect(server.ready).rejects.toThrow(
      /^The model needs .*: .* for its weights, .* for the KV cache of 256 tokens, .* for its work; the memory budget of all models is .*, .* too little\. Raise the budget \(memory_budget\), .*load it quantised \(quantization\): "int8" needs .*, "int4" needs .*, or use a smaller model\.$/,
    );
  });
});
