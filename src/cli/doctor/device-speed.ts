/** Measures how fast a device works, with models of zeros that are made for it: no model need be on this machine. */
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describeModel } from "../../models/describe-model.ts";
import { openModel } from "../../models/open-model.ts";
import type { Executable } from "../../runtime/backend.ts";
import { loadOnDevice } from "../../runtime/devices.ts";
import type { ResolvedLoad } from "../../runtime/load-options.ts";
import { QUANTIZATIONS, type Quantization } from "../../runtime/held-formats.ts";
import { measureRead } from "../../runtime/measure.ts";
import type { Program } from "../../runtime/program.ts";
import type { ResolvedSampling } from "../../runtime/sampling/options.ts";

/** What a device was measured to do. */
export interface DeviceSpeed {
  /** Bytes a second that it reads where nothing is computed with them. */
  readonly readRate: number;
  /** Bytes of weights a second that a decode reads, as they are stored (bf16) and made smaller. */
  readonly decodeRates: Readonly<Record<Quantization, number>>;
  /** Seconds that a layer costs a token beside its weights: barriers, dispatches. */
  readonly layerSeconds: number;
}

export interface MeasureOptions {
  readonly device: ResolvedLoad["device"];
  /** Bytes of memory that may be taken. */
  readonly memory: number;
  /** Called with what is measured next. */
  readonly onStep: (what: string) => void;
  readonly signal: AbortSignal;
  /** Milliseconds over which a rate is sampled. Default 500. */
  readonly sampling?: number;
  /** The model whose weights are read. Default: as large as memory allows, far more than caches hold. */
  readonly large?: Shape;
}

/** What a Llama of zeros has: its layers, the channels between them and in them. */
export interface Shape {
  readonly layers: number;
  readonly hidden: number;
  readonly inner: number;
}

/** A layer has 134 MB in bf16, about what one of a 3B model has. */
const LARGE = { hidden: 2048, inner: 8192 };
const LARGE_LAYER_BYTES = 134e6;
const MOST_LARGE_LAYERS = 4;
/** Next to no weights: what its layers take is what a layer costs beside them. */
const SMALL: Shape = { layers: 24, hidden: 128, inner: 256 };

/** Milliseconds over which a rate is sampled. */
const SAMPLING = 500;
const CONTEXT = 256;
/** The most tokens of one decode: what attention reads meanwhile is little. */
const MOST_TOKENS = 128;
/** The fewest tokens whose time says something. */
const FEWEST_TOKENS = 4;

/**
 * Measures a device.
 *
 * @throws ModelComposeError what loading on the device throws; AbortError
 */
export async function measureDevice(options: MeasureOptions): Promise<DeviceSpeed> {
  const { onStep, large = largeFor(options.memory) } = options;
  onStep("what a layer costs");
  const layerSeconds = await withModel(SMALL, async (folder) => {
    const seconds = await withLoaded(folder, "none", options, (small) => decodeSeconds(small, options));
    return seconds / SMALL.layers;
  });
  return withModel(large, async (folder) => {
    let readRate = 0;
    const decodeRates: Record<Quantization, number> = { none: 0, int8: 0, int4: 0 };
    for (const quantization of QUANTIZATIONS) {
      onStep(`weights ${quantization === "none" ? "as they are stored" : `in ${quantization}`}`);
      await withLoaded(folder, quantization, options, async (executable) => {
        if (quantization === "none") {
          readRate = await bestRead(executable, options);
        }
        const seconds = await decodeSeconds(executable, options);
        // The barriers of these few layers are a small part of the time; half of it is never theirs.
        const weights = Math.max(seconds / 2, seconds - large.layers * layerSeconds);
        decodeRates[quantization] = executable.memory.weightBytesPerToken / weights;
      });
    }
    return { readRate, decodeRates, layerSeconds };
  });
}

function largeFor(memory: number): Shape {
  // The file's pages in the system's cache take as much as the model itself.
  const most = Math.floor(memory / 4 / LARGE_LAYER_BYTES);
  return { ...LARGE, layers: Math.min(MOST_LARGE_LAYERS, Math.max(1, most)) };
}

/** Bytes a second, the best of some samples. */
async function bestRead(
  executable: Executable,
  { signal, sampling = SAMPLING }: MeasureOptions,
): Promise<number> {
  let best = 0;
  const end = performance.now() + sampling;
  do {
    best = Math.max(best, ...(await measureRead(executable)).values());
    signal.throwIfAborted();
  } while (performance.now() < end);
  return best;
}

/** Seconds for a token, over as many as there is time for. */
async function decodeSeconds(
  executable: Executable,
  { signal, sampling = SAMPLING }: MeasureOptions,
): Promise<number> {
  // The first decode makes what a device makes once, and tells how many tokens there is time for.
  const first = (await decode(executable, FEWEST_TOKENS, signal)) / (FEWEST_TOKENS - 1);
  const count = Math.min(MOST_TOKENS, Math.max(FEWEST_TOKENS, Math.ceil(sampling / 1000 / first)));
  const runs: number[] = [];
  let rest = sampling / 1000;
  do {
    const seconds = await decode(executable, count, signal);
    runs.push(seconds / (count - 1));
    rest -= seconds;
  } while (rest > 0);
  return runs.reduce((sum, run) => sum + run, 0) / runs.length;
}

/** Decodes `count` tokens. @returns the seconds from the first to the last of them */
async function decode(executable: Executable, count: number, signal: AbortSignal): Promise<number> {
  const { wallSeconds } = await executable.decode(
    {
      tokens: Int32Array.of(0),
      slot: 0,
      position: 0,
      count,
      sampling: GREEDY,
      history: Int32Array.of(0),
      eosTokenIds: [],
      minNewTokens: 0,
      sequence: [0, 0, 0],
      // Zeros repeat themselves: drafts would always be right.
      promptLookup: false,
      onToken: () => true,
    },
    signal,
  );
  return wallSeconds;
}

const GREEDY: ResolvedSampling = {
  doSample: false,
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  seed: 0,
};

/** Loads a folder's model for some work with it. */
async function withLoaded<T>(
  folder: string,
  quantization: Quantization,
  { device, signal }: MeasureOptions,
  work: (executable: Executable) => Promise<T>,
): Promise<T> {
  const { program, checkpoint } = await openModel(folder);
  const executable = await loadOnDevice({
    program,
    checkpoint,
    request: { device, threads: undefined, gpuMemory: undefined, prefill: "exact", quantization },
    onNotice: undefined,
    options: { contextLength: CONTEXT, slots: 1 },
    hooks: { signal },
  });
  try {
    return await work(executable);
  } finally {
    await executable.dispose();
  }
}

/** Makes a model of zeros for some work with its folder, which is gone afterwards. */
async function withModel<T>(shape: Shape, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(path.join(tmpdir(), "model-compose-doctor-"));
  try {
    await writeFile(path.join(folder, "config.json"), JSON.stringify(configOf(shape)));
    await writeZeros(path.join(folder, "model.safetensors"), (await describeModel(folder)).program);
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function configOf({ layers, hidden, inner }: Shape): Record<string, unknown> {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    num_hidden_layers: layers,
    hidden_size: hidden,
    intermediate_size: inner,
    num_attention_heads: hidden / 64,
    num_key_value_heads: hidden / 64,
    vocab_size: 1024,
    max_position_embeddings: CONTEXT,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: true,
    hidden_act: "silu",
  };
}

/** Writes a checkpoint whose weights are a hole in the file: it takes no room on a disk, and reads as zeros. */
async function writeZeros(file: string, { matrices, vectors }: Program): Promise<void> {
  const header: Record<string, unknown> = {};
  let bytes = 0;
  const add = (name: string, shape: readonly number[]): void => {
    const size = 2 * shape.reduce((product, length) => product * length, 1);
    header[name] = { dtype: "BF16", shape, data_offsets: [bytes, bytes + size] };
    bytes += size;
  };
  for (const [name, { rows, columns }] of matrices) {
    add(name, [rows, columns]);
  }
  for (const [name, { length }] of vectors) {
    add(name, [length]);
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const handle = await open(file, "wx");
  try {
    await handle.write(Buffer.concat([length, text]));
    await handle.truncate(length.length + text.length + bytes);
  } finally {
    await handle.close();
  }
}
