/** Reads a text with a model in every variant, beside the same model as it is stored. */
import { open, mkdtemp, readFile, rm, type FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { ModelComposeError } from "../../src/base/errors.ts";
import { loadModel, type Model } from "../../src/models/model.ts";
import type { LoadOptions } from "../../src/models/load-options.ts";
import type { Progress } from "../harness/progress.ts";
import { Comparison, type Quality } from "./compare.ts";
import type { QualityFlags } from "./flags.ts";
import { fetchedText } from "./text.ts";
import { VARIANTS } from "./variants.ts";
import { measureWeights, type WeightQuality } from "./weights.ts";

export interface QualityRow extends Quality, Partial<WeightQuality> {
  /** "none" for the reference itself, and the name of the folder for other weights. */
  readonly weights: string;
  /** How the CPU multiplied quantised weights. */
  readonly activations: string;
}

export interface QualityResult {
  readonly model: string;
  readonly device: string;
  readonly text: string;
  readonly tokens: number;
  readonly window: number;
  readonly rows: readonly QualityRow[];
}

/** Measures what the command line asks for. @throws ModelComposeError for a model or text that cannot be read */
export async function measureQuality(flags: QualityFlags, progress: Progress): Promise<QualityResult> {
  const { model: source, threads, window } = flags;
  const folder = await mkdtemp(join(tmpdir(), "model-compose-quality-"));
  const load = (path: string, options: LoadOptions = {}): Promise<Model> =>
    loadModel(path, { device: "wasm", threads, contextLength: window, ...options });
  try {
    const reference = await ReferenceLogits.create(join(folder, "logits"));
    try {
      const rows: QualityRow[] = [];
      const model = await load(source);
      const { directory, device } = model;
      let windows: number[][];
      try {
        windows = await windowsOf(model, flags, progress);
        const own = new Comparison();
        await readWindows(model, windows, "none", progress, async (logits, next, i) => {
          await reference.write(logits, i);
          own.add(logits, logits, next);
        });
        rows.push({ weights: "none", activations: "float32", ...own.result });
      } finally {
        await model.dispose();
      }
      const compare = async (name: string, candidate: Model): Promise<Quality> => {
        try {
          const comparison = new Comparison();
          await readWindows(candidate, windows, name, progress, async (logits, next, i) => {
            comparison.add(await reference.read(logits.length, i), logits, next);
          });
          return comparison.result;
        } finally {
          await candidate.dispose();
        }
      };
      const weights = new Map<string, WeightQuality>();
      for (const { quantization, activations } of VARIANTS) {
        if (quantization !== (flags.quantization ?? quantization)) {
          continue;
        }
        const ofWeights =
          weights.get(quantization) ??
          (await measureWeights(directory, quantization, (done, of) => {
            progress.step(`${quantization}: matrix ${done} of ${of}`);
          }));
        weights.set(quantization, ofWeights);
        const candidate = await load(directory, { quantization, activations });
        const quality = await compare(`${quantization}, ${activations}`, candidate);
        rows.push({ weights: quantization, activations, ...quality, ...ofWeights });
      }
      for (const other of flags.against) {
        rows.push({
          weights: basename(other),
          activations: "float32",
          ...(await compare(other, await load(other))),
        });
      }
      return {
        model: source,
        device: device.description,
        text: flags.text ?? "Alice's Adventures in Wonderland",
        tokens: windows.reduce((sum, ids) => sum + ids.length, 0),
        window,
        rows,
      };
    } finally {
      await reference.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The text's tokens, cut into sequences; a rest of one token says nothing and is left out. */
async function windowsOf(model: Model, flags: QualityFlags, progress: Progress): Promise<number[][]> {
  if (model.architecture !== "causal") {
    throw new ModelComposeError(
      "unsupported",
      `"${flags.model}" is an encoder–decoder: a text has no perplexity there.`,
      {
        remedy: "Name a model that continues a text.",
      },
    );
  }
  const text =
    flags.text === undefined
      ? await fetchedText((url) => {
          progress.notice(`Fetching ${url}`);
        })
      : await readFile(flags.text, "utf8");
  const ids = (await model.tokenizer.encodeAsync(text)).slice(0, flags.tokens);
  if (ids.length < flags.tokens) {
    progress.notice(`The text has ${ids.length} tokens; ${flags.tokens} were asked for.`);
  }
  const window = Math.min(flags.window, model.contextLength);
  const windows = Array.from({ length: Math.ceil(ids.length / window) }, (_, i) =>
    ids.slice(i * window, (i + 1) * window),
  );
  return windows.filter(({ length }) => length > 1);
}

/** Gives `take` the logits of all positions but a sequence's last, and the tokens that came after them. */
async function readWindows(
  model: Model,
  windows: readonly (readonly number[])[],
  name: string,
  progress: Progress,
  take: (logits: Float32Array, next: readonly number[], index: number) => Promise<void>,
): Promise<void> {
  for (const [i, ids] of windows.entries()) {
    progress.step(`${name}: sequence ${i + 1} of ${windows.length}`);
    const { logits, shape } = await model.forward(ids);
    await take(logits.subarray(0, (ids.length - 1) * shape[1]), ids.slice(1), i);
  }
}

/** The reference's logits in a file, for memory has no room for them beside a model. */
class ReferenceLogits {
  readonly #file: FileHandle;
  readonly #starts: number[] = [];
  #end = 0;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  static async create(path: string): Promise<ReferenceLogits> {
    return new ReferenceLogits(await open(path, "wx+", 0o600));
  }

  async write(logits: Float32Array, index: number): Promise<void> {
    this.#starts[index] = this.#end;
    const bytes = new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength);
    for (let at = 0; at < bytes.length;) {
      at += (await this.#file.write(bytes, at, bytes.length - at, this.#end + at)).bytesWritten;
    }
    this.#end += bytes.length;
  }

  async read(count: number, index: number): Promise<Float32Array> {
    const logits = new Float32Array(count);
    const bytes = new Uint8Array(logits.buffer);
    for (let at = 0; at < bytes.length;) {
      const { bytesRead } = await this.#file.read(bytes, at, bytes.length - at, this.#starts[index] + at);
      if (bytesRead === 0) {
        throw new Error("The file of the reference's logits has become shorter.");
      }
      at += bytesRead;
    }
    return logits;
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
