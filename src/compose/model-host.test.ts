import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { loadText } from "../../test/support/compose.ts";
import { AbortError, ModelComposeError } from "../base/errors.ts";
import type { PromptCounter, SizedLoadOptions } from "../models/context-sizing.ts";
import type { LoadProgress } from "../models/load-options.ts";
import { countContext } from "./analysis/context-needs.ts";
import type { ModelComponent } from "./definition/definition.ts";
import { ModelHost, type TextModel } from "./model-host.ts";

function components(...lines: string[]): ModelComponent[] {
  const text = lines.map((line, i) => `  - { id: c${i}, type: model, task: text-generation, ${line} }`);
  const { components } = loadText(`components:\n${text.join("\n")}\nworkflow: { component: c0 }\n`);
  return components.filter((component) => component.type === "model");
}

const open = 'prompt: "${input}"';

/** Loads of models that end when they are told to. */
class Loads {
  readonly started: { source: string; options: SizedLoadOptions; end: (error?: Error) => void }[] = [];
  disposed = 0;
  /** Loses the models that are loaded next when it resolves. */
  lost = Promise.withResolvers<ModelComposeError>();

  readonly load = (source: string, options: SizedLoadOptions): Promise<TextModel> => {
    const { promise, resolve, reject } = Promise.withResolvers<TextModel>();
    const model: TextModel = {
      directory: "/fake",
      device: { kind: "wasm", description: "fake" },
      architecture: "causal",
      contextLength: 4096,
      stream: () => {
        throw new Error("nothing is generated here");
      },
      streamChat: () => {
        throw new Error("nobody chats here");
      },
      countTokens: () => Promise.resolve(0),
      embed: () => Promise.reject(new Error("nobody embeds here")),
      lost: this.lost.promise,
      dispose: () => {
        this.disposed += 1;
        return Promise.resolve();
      },
    };
    options.signal?.addEventListener("abort", () => reject(new Error("stopped")));
    this.started.push({ source, options, end: (error) => (error ? reject(error) : resolve(model)) });
    return promise;
  };
}

test("components of the same model share it; others do not", async () => {
  const loads = new Loads();
  const host = new ModelHost(loads.load);
  const [a, b, c, d] = components(
    `model: m, ${open}`,
    `model: m, ${open}`,
    `model: m, device: cpu, ${open}`,
    `model: m, context_length: 10, ${open}`,
  );
  const [e, f] = components(`model: m, precision: float16, ${open}`, `model: m, pass_timeout: 1m, ${open}`);
  const others = [e, f].map((component) => host.model(component));
  expect(
    loads.started.splice(0).map(({ options, end }) => [options.precision, options.passTimeout, end()]),
  ).toEqual([
    ["float16", undefined, undefined],
    ["stored", 60, undefined],
  ]);
  await Promise.all(others);
  const held = components(
    `model: m, quantization: int4, ${open}`,
    `model: m, quantization: int4, activations: float32, ${open}`,
    `model: m, quantization: auto, ${open}`,
  ).map((component) => host.model(component));
  expect(
    loads.started.splice(0).map(({ options, end }) => [options.quantization, options.activations, end()]),
  ).toEqual([
    ["int4", undefined, undefined],
    ["int4", "float32", undefined],
    ["auto", undefined, undefined],
  ]);
  await Promise.all(held);
  const all = Promise.all([a, b, c, d].map((component) => host.model(component)));
  expect(loads.started.map(({ options }) => [options.device, options.contextLength])).toEqual([
    ["auto", "max"],
    ["wasm", "max"],
    ["auto", 10],
  ]);
  for (const { end } of loads.started) {
    end();
  }
  const models = await all;
  expect(models[0]).toBe(models[1]);
  expect(models[0]).not.toBe(models[2]);
  await host.dispose();
  expect(loads.disposed).toBe(8);
});

test("the file bounds the context where its lengths stand in it", async () => {
  const loads = new Loads();
  const host = new ModelHost(loads.load);
  const [cut, unknown, longer] = components(
    `model: b, max_input_length: 20, ${open}`,
    `model: c, max_input_length: 20, max_output_length: '\${input.n}', ${open}`,
    `model: d, max_input_length: 20, max_output_length: 30, context_length: 40, ${open}`,
  );
  for (const component of [cut, unknown, longer]) {
    const waiting = host.model(component);
    loads.started.at(-1)?.end();
    await waiting;
  }
  expect(loads.started.map(({ options: { contextLength, sizing } }) => [contextLength, sizing])).toEqual([
    [20 + 1024, undefined],
    ["max", undefined],
    [40, undefined],
  ]);
});

test("what the KV cache holds is told, and another is another model", async () => {
  const loads = new Loads();
  const host = new ModelHost(loads.load);
  for (const component of components(`model: a, ${open}`, `model: a, kv_precision: float16, ${open}`)) {
    const waiting = host.model(component);
    loads.started.at(-1)?.end();
    await waiting;
  }
  expect(loads.started.map(({ options }) => options.kvPrecision)).toEqual([undefined, "float16"]);
});

/** A counter that counts a token a character, and of a conversation a token a message. */
const counter: PromptCounter = {
  ofText: (prompt) => Promise.resolve(prompt.length),
  ofChat: (messages) => Promise.resolve(messages.length),
};

test("known prompts are counted when there is a tokenizer", async () => {
  const loads = new Loads();
  const host = new ModelHost(loads.load);
  const [literal, bounded, open1] = components(
    "model: a, prompt: hello, max_output_length: 9",
    "model: b, prompt: hello, max_output_length: 9, context_length: 12",
    `model: c, ${open}`,
  );
  const needs = [
    { prompts: ["four", "a prompt that is cut"], maxPromptTokens: 8, maxNewTokens: 3 },
    { prompts: [{ messages: [], options: {} }], maxPromptTokens: Infinity, maxNewTokens: 10 },
  ];
  const all = Promise.all([host.model(literal), host.model(bounded), host.model(open1, { needs })]);
  for (const { end } of loads.started) {
    end();
  }
  await all;
  const sized = loads.started.map(async ({ options: { contextLength, sizing } }) => {
    return [contextLength, sizing?.least, await sizing?.count(counter)];
  });
  expect(await Promise.all(sized)).toEqual([
    ["max", 10, 5 + 9],
    [12, 10, 12],
    ["max", 11, 8 + 3],
  ]);
});

test("a conversation that cannot be rendered needs no context", async () => {
  const refused = new ModelComposeError("invalid-input", "no");
  const conversation = { messages: [], options: {} };
  const needs = [{ prompts: ["four", conversation], maxPromptTokens: Infinity, maxNewTokens: 3 }];
  const failing = (error: Error): PromptCounter => ({ ...counter, ofChat: () => Promise.reject(error) });
  expect(await countContext(needs, failing(refused))).toBe(7);
  await expect(countContext(needs, failing(new AbortError()))).rejects.toThrow(AbortError);
  await expect(countContext(needs, failing(new TypeError("a fault")))).rejects.toThrow("a fault");
});

test("what a load fails with names the key of the file", async () => {
  const loads = new Loads();
  const host = new ModelHost(loads.load);
  const [a] = components(`model: m, ${open}`);
  const waiting = host.model(a);
  loads.started[0].end(
    new ModelComposeError("out-of-memory", "It is too long.", {
      remedy: "Lower the context length.",
      parameter: "contextLength",
    }),
  );
  await expect(waiting).rejects.toMatchObject({
    code: "out-of-memory",
    message: 'It is too long. Lower the context length. That is "context_length".',
  });
});

test("progress goes to those who wait and to the host's owner", async () => {
  const loads = new Loads();
  const owner: string[] = [];
  const host = new ModelHost(loads.load, { onProgress: ({ id }, { stage }) => owner.push(`${id} ${stage}`) });
  const [a] = components(`model: m, ${open}`);
  const seen: LoadProgress[] = [];
  const waiting = host.model(a, { onProgress: (progress) => seen.push(progress) });
  loads.started[0].options.onProgress?.({ stage: "weights", done: 1, total: 2 });
  loads.started[0].end();
  await waiting;
  loads.started[0].options.onProgress?.({ stage: "ready", done: 1, total: 1 });
  expect(seen).toEqual([{ stage: "weights", done: 1, total: 2 }]);
  expect(owner).toEqual(["c0 weights", "c0 ready"]);
});

test("a load goes on as long as somebody waits for it", async () => {
  const loads = new Loads();
  const host = new ModelHost(loads.load);
  const [a] = components(`model: m, ${open}`);
  const controllers = [new AbortController(), new AbortController()];
  const waiting = controllers.map(({ signal }) => host.model(a, { signal }));
  controllers[0].abort();
  await expect(waiting[0]).rejects.toMatchObject({ code: "aborted" });
  expect(loads.started[0].options.signal?.aborted).toBe(false);
  controllers[1].abort();
  await expect(waiting[1]).rejects.toMatchObject({ code: "aborted" });
  expect(loads.started[0].options.signal?.aborted).toBe(true);
  // The next one who asks starts a new load.
  const again = host.model(a);
  expect(loads.started).toHaveLength(2);
  loads.started[1].end();
  await again;
  expect(await host.model(a)).toBe(await again);
});

test("a load that fails may be tried again", async () => {
  const loads = new Loads();
  const host = new ModelHost(loads.load);
  const [a] = components(`model: m, ${open}`);
  const first = host.model(a);
  loads.started[0].end(new Error("disk"));
  await expect(first).rejects.toThrow("disk");
  const second = host.model(a);
  loads.started[1].end();
  await second;
});

test("the command line's device options reach the library, its device before the file's", async () => {
  const loads = new Loads();
  const overrides = { device: "webgpu", threads: 3, gpuMemory: 8e9, prefill: "f16" } as const;
  const host = new ModelHost(loads.load, {}, overrides);
  const [component] = components(`model: m, device: cpu, ${open}`);
  const waiting = host.model(component);
  loads.started.at(-1)?.end();
  await waiting;
  expect(loads.started[0].options).toMatchObject(overrides);
});

describe("a model that is lost", () => {
  const reason = new ModelComposeError("device", "A compute worker was lost: out of memory.", {
    remedy: "Load it.",
  });
  const [component] = components(`model: m, ${open}`);

  function hostOf(loads: Loads): { host: ModelHost; notices: string[] } {
    const notices: string[] = [];
    return { host: new ModelHost(loads.load, { onNotice: (line) => notices.push(line) }), notices };
  }

  /** Has the model that was loaded last go, and the next one be loaded. */
  async function lose(loads: Loads): Promise<void> {
    const { lost } = loads;
    loads.lost = Promise.withResolvers<ModelComposeError>();
    lost.resolve(reason);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  async function ready(loads: Loads): Promise<void> {
    loads.started.at(-1)?.end();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  test("is freed and loaded again, which is told, and who asks meanwhile gets the new one", async () => {
    const loads = new Loads();
    const { host, notices } = hostOf(loads);
    const first = host.model(component);
    await ready(loads);
    await lose(loads);
    expect(loads.started).toHaveLength(2);
    expect(loads.disposed).toBe(1);
    expect(host.troubles).toMatchObject([{ component: "c0", isGivenUp: false }]);
    loads.started[1].options.onProgress?.({ stage: "weights", done: 1, total: 4 });
    expect(host.troubles[0]?.progress).toEqual({ stage: "weights", done: 1, total: 4 });
    const second = host.model(component);
    await ready(loads);
    expect(await second).not.toBe(await first);
    expect(host.troubles).toEqual([]);
    expect(notices).toEqual([
      "The model of c0 was lost and is being loaded again: A compute worker was lost: out of memory.",
      "The model of c0 is loaded again.",
    ]);
    await host.dispose();
  });

  test("three times in a row is given up, with the reason", async () => {
    const loads = new Loads();
    const { host } = hostOf(loads);
    void host.model(component);
    for (let i = 0; i < 3; i++) {
      await ready(loads);
      await lose(loads);
    }
    expect(loads.started).toHaveLength(3);
    expect(host.troubles).toMatchObject([{ isGivenUp: true }]);
    await expect(host.model(component)).rejects.toMatchObject({
      code: "device",
      message: expect.stringContaining("lost 3 times in a row and is not loaded again") as string,
    });
    await host.dispose();
  });

  test("is not given up where it wrote texts in between", async () => {
    const loads = new Loads();
    const { host } = hostOf(loads);
    void host.model(component);
    for (let i = 0; i < 5; i++) {
      await ready(loads);
      host.works(component);
      await lose(loads);
    }
    expect(loads.started).toHaveLength(6);
    await host.dispose();
  });

  test("and cannot be loaded again says why; the next who asks tries once more", async () => {
    const loads = new Loads();
    const { host } = hostOf(loads);
    void host.model(component);
    await ready(loads);
    await lose(loads);
    loads.started[1].end(new Error("the disk is gone"));
    await new Promise((resolve) => setTimeout(resolve, 0));
    expect(host.troubles[0]?.reason).toContain("cannot be loaded again: the disk is gone");
    const again = host.model(component);
    await ready(loads);
    await again;
    expect(host.troubles).toEqual([]);
    await host.dispose();
  });

  test("after the host was disposed of is nobody's", async () => {
    const loads = new Loads();
    const { host, notices } = hostOf(loads);
    void host.model(component);
    await ready(loads);
    await host.dispose();
    await lose(loads);
    expect([loads.started.length, notices]).toEqual([1, []]);
  });
});

describe("a model that nobody uses", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** A host of models that are there at once, with what it says. */
  function hostOf(loads: Loads): { host: ModelHost; notices: string[] } {
    const notices: string[] = [];
    const load = (source: string, options: SizedLoadOptions): Promise<TextModel> => {
      const model = loads.load(source, options);
      loads.started.at(-1)?.end();
      return model;
    };
    return { host: new ModelHost(load, { onNotice: (line) => void notices.push(line) }), notices };
  }

  test("goes after its time, counted from its last use, and is loaded again when it is called", async () => {
    const loads = new Loads();
    const { host, notices } = hostOf(loads);
    const [component] = components(`model: m, on_demand: { idle_timeout: 10s }, ${open}`);
    await host.use(component, {}, () => Promise.resolve());
    await vi.advanceTimersByTimeAsync(9_000);
    const { promise, resolve } = Promise.withResolvers<void>();
    const use = host.use(component, {}, () => promise);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(loads.disposed).toBe(0);
    resolve();
    await use;
    await vi.advanceTimersByTimeAsync(9_999);
    expect(loads.disposed).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(loads.disposed).toBe(1);
    expect(notices).toEqual([
      expect.stringMatching(
        /^The model .*m was unloaded: nobody has used it\. It is loaded again when it is called\.$/,
      ),
    ]);
    expect(await host.use(component, {}, ({ architecture }) => Promise.resolve(architecture))).toBe("causal");
    expect(loads.started).toHaveLength(2);
  });

  test("goes too when nobody has ever called it; without on_demand, or beside a component without, it stays", async () => {
    const loads = new Loads();
    const { host } = hostOf(loads);
    const [lazy, a, b, steady] = components(
      `model: lazy, on_demand: true, ${open}`,
      `model: m, on_demand: { idle_timeout: 1 }, ${open}`,
      `model: m, ${open}`,
      `model: steady, on_demand: false, ${open}`,
    );
    await host.model(lazy);
    await host.use(a, {}, () => Promise.resolve());
    await host.use(b, {}, () => Promise.resolve());
    await host.model(steady);
    await vi.advanceTimersByTimeAsync(299_999);
    expect(loads.disposed).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(loads.disposed).toBe(1);
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(loads.disposed).toBe(1);
    await host.dispose();
    expect(loads.disposed).toBe(3);
  });

  test("makes room for another: the lowest priority first, then who was used first, and nobody who works", async () => {
    const notices: string[] = [];
    const there = new Set<string>();
    const load = async (source: string, { room }: SizedLoadOptions): Promise<TextModel> => {
      const name = source.slice(source.lastIndexOf("/") + 1);
      await room?.reserve({ bytes: 1, machineBytes: 0 }, undefined);
      if (there.size === 3) {
        throw new ModelComposeError("out-of-memory", "no room");
      }
      there.add(name);
      const model = {
        lost: new Promise(() => undefined),
        dispose: () => Promise.resolve(void there.delete(name)),
      };
      return model as unknown as TextModel;
    };
    const host = new ModelHost(load, { onNotice: (line) => void notices.push(line) });
    const nothing = (): Promise<void> => Promise.resolve();
    const [a, b, c, d, e, f] = components(
      `model: a, on_demand: { priority: 1 }, ${open}`,
      `model: b, ${open}`,
      `model: c, on_demand: { priority: -1 }, ${open}`,
      `model: d, ${open}`,
      `model: e, ${open}`,
      `model: f, ${open}`,
    );
    for (const component of [c, a, b]) {
      await host.use(component, {}, nothing);
    }
    await host.use(d, {}, nothing); // c has the lowest priority
    expect([...there]).toEqual(["a", "b", "d"]);
    await host.use(b, {}, nothing);
    await host.use(e, {}, nothing); // d was used before b, and a has a higher priority
    expect([...there]).toEqual(["a", "b", "e"]);
    const { promise, resolve } = Promise.withResolvers<void>();
    const uses = [a, b, e].map((component) => host.use(component, {}, () => promise));
    await expect(host.use(f, {}, nothing)).rejects.toThrow("no room");
    resolve();
    await Promise.all(uses);
    await host.use(f, {}, nothing);
    expect([...there]).toEqual(["a", "e", "f"]);
    expect(notices[0]).toMatch(/c was unloaded: its memory is needed/);
  });
});
