import { mkdir, open, readdir, statfs, writeFile, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { ModelComposeError, errorMessage } from "../../src/base/errors.ts";
import type { CheckpointContents, TensorSpec } from "./contents.ts";
import { gaussianPool, Sfc32, WEIGHT_DTYPES, type WeightDtype, type WeightPool } from "./random-weights.ts";

export interface WriteCheckpointOptions {
  dtype: WeightDtype;
  /** Seed of the weights, an integer in 0 .. 2^53 - 1: same seed, same bytes. */
  seed: number;
  /** Upper bound of a shard's tensor bytes, unless a single tensor is larger. Default 5 GB, as on the hub. */
  maxShardBytes?: number;
  /** Called after every block written. */
  onProgress?: (writtenBytes: number, totalBytes: number) => void;
}

const DEFAULT_MAX_SHARD_BYTES = 5e9;

/** One block is generated while the other is being written: this is all the memory that weights take. */
const BLOCK_BYTES = 8 * 2 ** 20;

/** Standard deviation of matrices times √width: 0.02 at 2048, and activations of order 1 at every width. */
const STD_TIMES_SQRT_WIDTH = 0.9;
const NORM_STD = 0.1;

/**
 * Writes a random-weight checkpoint into `directory` (created when missing): safetensors shards,
 * `model.safetensors.index.json`, `generation_config.json` and, last, `config.json`. An interrupted write is
 * therefore never taken for a checkpoint.
 *
 * @returns the bytes of all tensors
 * @throws ModelComposeError when the directory is not empty, the disk has too little room, or a write fails
 */
export async function writeCheckpoint(
  directory: string,
  contents: CheckpointContents,
  options: WriteCheckpointOptions,
): Promise<number> {
  const elementBytes = WEIGHT_DTYPES[options.dtype].bytes;
  const shards = splitIntoShards(
    contents.tensors,
    elementBytes,
    options.maxShardBytes ?? DEFAULT_MAX_SHARD_BYTES,
  );
  const totalBytes = shards.flat().reduce((sum, tensor) => sum + elementCount(tensor) * elementBytes, 0);
  try {
    await prepareDirectory(directory, totalBytes);
    const writer = new ShardWriter(contents, options, totalBytes);
    const weightMap: Record<string, string> = {};
    for (const [index, tensors] of shards.entries()) {
      const name = `model-${shardNumber(index + 1)}-of-${shardNumber(shards.length)}.safetensors`;
      for (const tensor of tensors) {
        weightMap[tensor.name] = name;
      }
      await writer.write(join(directory, name), tensors);
    }
    await writeJson(join(directory, "model.safetensors.index.json"), {
      metadata: { total_parameters: totalBytes / elementBytes, total_size: totalBytes },
      weight_map: weightMap,
    });
    await writeJson(join(directory, "generation_config.json"), contents.generationConfig);
    await writeJson(join(directory, "config.json"), contents.config(WEIGHT_DTYPES[options.dtype].torch));
  } catch (error) {
    if (error instanceof ModelComposeError) {
      throw error;
    }
    throw new ModelComposeError(
      "invalid-argument",
      `The checkpoint could not be written to "${directory}": ${errorMessage(error)}.`,
      { cause: error, remedy: "Check the folder's permissions and free space, empty it and try again." },
    );
  }
  return totalBytes;
}

async function prepareDirectory(directory: string, totalBytes: number): Promise<void> {
  await mkdir(directory, { recursive: true });
  const entries = await readdir(directory);
  if (entries.length > 0) {
    throw new ModelComposeError(
      "invalid-argument",
      `The output folder "${directory}" must be empty, but holds ${entries.length} entries ("${entries[0]}", …).`,
      { remedy: "Name a new folder, or empty this one." },
    );
  }
  const { bavail, bsize } = await statfs(directory);
  if (bavail * bsize < totalBytes) {
    throw new ModelComposeError(
      "invalid-argument",
      `The checkpoint needs ${gigabytes(totalBytes)}, but the disk of "${directory}" has ${gigabytes(bavail * bsize)} free.`,
      { remedy: "Free some space or name a folder on another disk." },
    );
  }
}

/** Fills shards in order: a tensor that would overflow the current one opens the next. */
function splitIntoShards(
  tensors: readonly TensorSpec[],
  elementBytes: number,
  maxShardBytes: number,
): TensorSpec[][] {
  let shard: TensorSpec[] = [];
  let shardBytes = 0;
  const shards = [shard];
  for (const tensor of tensors) {
    const bytes = elementCount(tensor) * elementBytes;
    if (shard.length > 0 && shardBytes + bytes > maxShardBytes) {
      shard = [];
      shardBytes = 0;
      shards.push(shard);
    }
    shard.push(tensor);
    shardBytes += bytes;
  }
  return shards;
}

class ShardWriter {
  readonly #options: WriteCheckpointOptions;
  readonly #totalBytes: number;
  readonly #pools: Readonly<Record<TensorSpec["kind"], WeightPool>>;
  readonly #blocks: readonly [WeightPool, WeightPool];
  #writtenBytes = 0;

  constructor({ width }: CheckpointContents, options: WriteCheckpointOptions, totalBytes: number) {
    const { dtype, seed } = options;
    this.#options = options;
    this.#totalBytes = totalBytes;
    this.#pools = {
      matrix: gaussianPool(dtype, 0, STD_TIMES_SQRT_WIDTH / Math.sqrt(width), seed),
      norm: gaussianPool(dtype, 1, NORM_STD, seed),
    };
    const block = (): WeightPool =>
      dtype === "f32" ? new Uint32Array(BLOCK_BYTES / 4) : new Uint16Array(BLOCK_BYTES / 2);
    this.#blocks = [block(), block()];
  }

  async write(path: string, tensors: readonly TensorSpec[]): Promise<void> {
    const handle = await open(path, "wx");
    // The write in flight is awaited before its block is filled again, and before the next write.
    let pending: Promise<void> = writeFully(handle, safetensorsHeader(tensors, this.#options.dtype));
    let current = 0;
    try {
      for (const tensor of tensors) {
        const random = new Sfc32(this.#options.seed, tensor.name);
        let remaining = elementCount(tensor);
        while (remaining > 0) {
          const block = this.#blocks[current % 2 === 0 ? 0 : 1];
          const values = block.subarray(0, Math.min(remaining, block.length));
          random.fill(values, this.#pools[tensor.kind]);
          await pending;
          pending = writeFully(handle, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
          // A failure before the next await must not count as unhandled; that await still throws it.
          pending.catch(() => undefined);
          remaining -= values.length;
          current++;
          this.#writtenBytes += values.byteLength;
          this.#options.onProgress?.(this.#writtenBytes, this.#totalBytes);
        }
      }
      await pending;
    } finally {
      await handle.close();
    }
  }
}

async function writeFully(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let offset = 0;
  while (offset < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, offset, bytes.length - offset);
    offset += bytesWritten;
  }
}

/** The 8-byte little-endian length and the JSON, padded with spaces so that tensor data is 8-byte aligned. */
function safetensorsHeader(tensors: readonly TensorSpec[], dtype: WeightDtype): Uint8Array {
  const { bytes: elementBytes, safetensors } = WEIGHT_DTYPES[dtype];
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let offset = 0;
  for (const tensor of tensors) {
    const end = offset + elementCount(tensor) * elementBytes;
    header[tensor.name] = { dtype: safetensors, shape: tensor.shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = JSON.stringify(header);
  const text = json.padEnd(Math.ceil(json.length / 8) * 8, " ");
  const bytes = new Uint8Array(8 + text.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(new TextEncoder().encode(text), 8);
  return bytes;
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(path, `${JSON.stringify(value, undefined, 2)}\n`);
}

function elementCount(tensor: TensorSpec): number {
  return tensor.shape.reduce((product, size) => product * size, 1);
}

function shardNumber(value: number): string {
  return String(value).padStart(5, "0");
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`;
}
