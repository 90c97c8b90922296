/** Measures how fast a device reads weights, with a model that is made for it: no model need be on this machine. */
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { openModel } from "../../models/open-model.ts";
import { describeModel } from "../../models/describe-model.ts";
import { loadOnDevice } from "../../runtime/devices.ts";
import type { ResolvedLoad } from "../../runtime/load-options.ts";
import { measureRead } from "../../runtime/measure.ts";
import type { Program } from "../../runtime/program.ts";

/** A layer of this shape has 134 MB in bf16. */
const CONFIG = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 2048,
  intermediate_size: 8192,
  num_attention_heads: 16,
  num_key_value_heads: 16,
  vocab_size: 1024,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  hidden_act: "silu",
};

/** Far more than caches hold; a machine with little memory reads less. */
const MOST_LAYERS = 4;
const LAYER_BYTES = 134e6;
/** Milliseconds over which samples are taken. */
const SAMPLING = 1500;

export interface BandwidthOptions {
  readonly device: ResolvedLoad["device"];
  /** Bytes of memory that can be had. */
  readonly available: number;
  readonly signal: AbortSignal;
}

/**
 * Bytes a second that a device reads, the best of some samples over one and a half seconds.
 *
 * @throws ModelComposeError what loading on the device throws; AbortError
 */
export async function readBandwidth({ device, available, signal }: BandwidthOptions): Promise<number> {
  const folder = await mkdtemp(path.join(tmpdir(), "model-compose-doctor-"));
  try {
    const layers = Math.min(MOST_LAYERS, Math.max(1, Math.floor(available / 4 / LAYER_BYTES)));
    await writeFile(
      path.join(folder, "config.json"),
      JSON.stringify({ ...CONFIG, num_hidden_layers: layers }),
    );
    await writeZeros(path.join(folder, "model.safetensors"), (await describeModel(folder)).program);
    const { program, checkpoint } = await openModel(folder);
    const executable = await loadOnDevice({
      program,
      checkpoint,
      request: { device, threads: undefined, gpuMemory: undefined, prefill: "exact" },
      onNotice: undefined,
      options: { contextLength: 16, slots: 1 },
      hooks: { signal },
    });
    try {
      let best = 0;
      const end = performance.now() + SAMPLING;
      do {
        best = Math.max(best, ...(await measureRead(executable)).values());
      } while (performance.now() < end && !signal.aborted);
      return best;
    } finally {
      await executable.dispose();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
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
