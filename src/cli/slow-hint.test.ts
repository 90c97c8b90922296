import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { GenerateOptions, StreamPart } from "../runtime/generation/types.ts";
import type { LoadOptions } from "../models/load-options.ts";
import { availableCores } from "../runtime/platform/system.ts";
import { generate } from "./commands/generate.ts";
import type { LoadTextModel, TextModel } from "../compose/model-host.ts";
import { hintWhenSlow } from "./slow-hint.ts";
import { Terminal } from "./terminal.ts";

/** The time in milliseconds, which the models below let pass. */
let clock = 0;
const now = (): number => clock;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

interface Pace {
  /** Milliseconds before the first token. */
  readonly prefill?: number;
  /** Milliseconds before each further token. */
  readonly token: number;
  readonly tokens?: number;
  readonly kind?: "wasm" | "webgpu";
  readonly threads?: number;
}

function paced({
  prefill = 0,
  token,
  tokens = 9,
  kind = "wasm",
  threads = availableCores(),
}: Pace): LoadTextModel {
  return () =>
    Promise.resolve({
      directory: "/paced",
      device: { kind, description: kind, threads },
      architecture: "causal",
      contextLength: 4096,
      streamChat: () => {
        throw new Error("nobody chats here");
      },
      countTokens: () => Promise.resolve(0),
      embed: () => Promise.reject(new Error("nobody embeds here")),
      lost: new Promise(() => undefined),
      dispose: () => Promise.resolve(),
      stream: async function* (_prompt: string, { seed = 0 }: GenerateOptions) {
        for (let i = 0; i < tokens; i++) {
          clock += i === 0 ? prefill : token;
          yield await Promise.resolve({ text: "a", tokens: [i] });
        }
        yield { text: "", tokens: [], result: resultOf(tokens, seed) };
      },
    });
}

function resultOf(tokens: number, seed: number): NonNullable<StreamPart["result"]> {
  const timings = {
    timeToFirstTokenSeconds: 0,
    prefillSeconds: 0,
    decodeSeconds: 0,
    prefillTokensPerSecond: 0,
    decodeTokensPerSecond: 0,
  };
  const usage = { promptTokens: 1, completionTokens: tokens };
  const newText = "a".repeat(tokens);
  return { text: newText, newText, tokens: [], finishReason: "length", usage, timings, seed, warnings: [] };
}

async function read(model: TextModel): Promise<void> {
  let text = "";
  for await (const part of model.stream("x", {})) {
    text += part.text;
  }
  expect(text).toBe("aaaaaaaaa");
}

interface Texts extends Pace {
  readonly options?: LoadOptions;
  /** Milliseconds that the reader takes for each part. */
  readonly reading?: number;
  readonly texts?: number;
}

/** Every notice that loading, the texts and the end of the model give. */
async function notices({ options, reading = 0, texts = 2, ...pace }: Texts): Promise<string[]> {
  const lines: string[] = [];
  const load = hintWhenSlow(paced(pace), { now });
  const model = await load("m", { ...options, onNotice: (line) => lines.push(line) });
  for (let i = 0; i < texts; i++) {
    for await (const part of model.stream("x", {})) {
      expect(part.text).toBe(part.result === undefined ? "a" : "");
      clock += reading;
    }
  }
  expect(lines).toEqual([]);
  await model.dispose();
  return lines;
}

describe("what is slow", () => {
  test("fewer than 5 tokens a second on the CPU, once", async () => {
    expect(await notices({ token: 250 })).toEqual([
      expect.stringMatching(/^Hint: decoding runs at 4\.0 tokens\/s.*smaller model/),
    ]);
  });

  test.each<[string, Texts]>([
    ["5 tokens a second", { token: 200 }],
    ["a prompt that takes long", { token: 1, prefill: 60_000 }],
    ["too few tokens to tell", { token: 1000, tokens: 8 }],
    ["a reader that is slow", { token: 1, reading: 60_000 }],
    ["a slow GPU", { token: 1000, kind: "webgpu" }],
  ])("not %s", async (_name, texts) => {
    expect(await notices(texts)).toEqual([]);
  });

  test("a text that was left at a token, or broke off, counts too", async () => {
    const lines: string[] = [];
    const onNotice = (line: string): void => void lines.push(line);
    const model = await hintWhenSlow(paced({ token: 500, tokens: 100 }), { now })("m", {
      onNotice,
    });
    let parts = 0;
    for await (const part of model.stream("x", {})) {
      if (part.tokens.length > 0 && ++parts === 20) {
        break;
      }
    }
    await model.dispose();
    expect(lines).toEqual([expect.stringContaining("2.0 tokens/s")]);
  });
});

describe("the remedy that fits", () => {
  test("a machine with a GPU, where all cores are busy", async () => {
    const [line] = await notices({ token: 500, options: { device: "cpu" } });
    expect(line).toContain("a machine with a GPU (--device webgpu)");
  });

  test("threads, where some cores are idle", async () => {
    const [line] = await notices({ token: 500, options: { device: "wasm" }, threads: 0 });
    expect(line).toContain(`It has 0 of ${availableCores()} cores: leave --threads out.`);
  });
});

describe("when it comes", () => {
  test("a second behind the text of a model that stays", async () => {
    const lines: string[] = [];
    const onNotice = (line: string): void => void lines.push(line);
    const load = hintWhenSlow(paced({ token: 500 }), { now });
    const model = await load("m", { onNotice });
    await read(model);
    expect(lines).toEqual([]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(lines).toHaveLength(1);
    const other = await load("m", { onNotice });
    await read(other);
    await other.dispose();
    await model.dispose();
    expect(lines).toHaveLength(1);
  });

  test.each([
    { quiet: false, hints: 1 },
    { quiet: true, hints: 0 },
  ])("on stderr, behind everything else of a command; quiet: $quiet", async ({ quiet, hints }) => {
    let stderr = "";
    vi.spyOn(process.stderr, "write").mockImplementation((text) => {
      stderr += String(text);
      return true;
    });
    vi.spyOn(process.stdout, "write").mockImplementation((_text, written?: unknown) => {
      if (typeof written === "function") {
        (written as () => void)();
      }
      return true;
    });
    const terminal = new Terminal({ quiet });
    const loadModel = hintWhenSlow(paced({ token: 500 }), { now });
    const signal = new AbortController().signal;
    await generate("x", { model: "m", seed: 1, device: "cpu" }, { terminal, signal, loadModel });
    expect(stderr.match(/Hint: decoding runs at 2\.0 tokens\/s/g) ?? []).toHaveLength(hints);
    if (!quiet) {
      expect(stderr).toMatch(/^9 tokens, .*\nHint: .*\n$/);
    }
  });
});
