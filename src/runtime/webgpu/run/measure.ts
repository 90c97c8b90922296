/** Measures how fast a GPU reads its memory, by pure reads over the weights of a loaded model; for benchmarks. */
import { readKernel } from "../../../kernels/probe/read.gpu.ts";
import { ModelComposeError } from "../../../base/errors.ts";
import { MAP, USAGE } from "./constants.ts";
import type { Dispatch, PassShape } from "../plan/dispatch.ts";
import type { WebGpuExecutable } from "./executable.ts";
import { encode, type Recorded } from "./resources.ts";
import { SpanTimer } from "./timestamps.ts";

/** Bytes to read at least: the largest weight buffers, as many as it takes to be far larger than any cache. */
const ENOUGH_BYTES = 400e6;
/** Invocations of a workgroup. A software adapter switches between them at every barrier: there fewer are faster. */
const INVOCATIONS = { hardware: 256, software: 16 };
/** Bytes that an invocation reads a turn. */
const TURN_BYTES = 64;
/** Numbers of workgroups to try, less where not each has a turn to do. Which is fastest depends on the GPU's size. */
const GRIDS = [512, 2048, 8192] as const;
/** Seconds of one sample, for each grid. */
const SAMPLE_SECONDS = 0.02;
const MOST_PASSES = 64;
/** Size of a piece on its way to the CPU, in bytes; more than all partial results take. */
const CHUNK_BYTES = 16 * 2 ** 20;

const NO_SHAPE: PassShape = { rows: 0, logitRows: 0, length: 0, shortest: 0, sourceLength: 0, queryTiles: 0 };

/** A grid of the read kernel over the probed buffers. */
interface Grid {
  workgroups: number;
  recorded: readonly Recorded[];
  /** The partial results of every dispatch. */
  results: readonly Piece[];
  passes: number;
}

/** `size` bytes of a buffer from `at` on. */
interface Piece {
  name: string;
  at: number;
  size: number;
}

export class ReadProbe {
  readonly bytes: number;
  readonly #executable: WebGpuExecutable;
  readonly #grids: readonly Grid[];
  /** XOR of all words of the probed buffers, computed by the CPU. */
  readonly #expected: number;
  readonly #staging: GPUBuffer;

  private constructor(
    executable: WebGpuExecutable,
    bytes: number,
    grids: readonly Grid[],
    expected: number,
    staging: GPUBuffer,
  ) {
    this.#executable = executable;
    this.bytes = bytes;
    this.#grids = grids;
    this.#expected = expected;
    this.#staging = staging;
  }

  /** Makes the probe of an executable, once. Nothing else may run on it meanwhile, nor while a sample is taken. */
  static async create(executable: WebGpuExecutable): Promise<ReadProbe> {
    const { resources, plan } = executable;
    const shards = [...plan.layout.weights.values()].flatMap((weight) =>
      weight.shards.map(({ buffer, count }) => ({ buffer, bytes: count * weight.stride })),
    );
    const probed: typeof shards = [];
    let bytes = 0;
    for (const shard of shards.sort((a, b) => b.bytes - a.bytes)) {
      if (bytes >= ENOUGH_BYTES) {
        break;
      }
      probed.push(shard);
      bytes += shard.bytes;
    }
    const partials = probed.map((_, i) => `partial reads ${i}`);
    for (const name of partials) {
      await resources.addBuffer(name, Math.max(...GRIDS) * 4, USAGE.STORAGE);
    }
    const { isSoftware } = resources.context.summary;
    const invocations = isSoftware ? INVOCATIONS.software : INVOCATIONS.hardware;
    const grids: Grid[] = [];
    for (const most of GRIDS) {
      const workgroups = probed.map((shard) =>
        Math.min(most, Math.ceil(shard.bytes / (invocations * TURN_BYTES))),
      );
      const dispatches = probed.map((shard, i): Dispatch => ({
        spec: readKernel(invocations),
        buffers: [shard.buffer, partials[i]],
        workgroups: () => [workgroups[i], 1, 1],
        bytes: () => shard.bytes,
      }));
      const results = partials.map((name, i) => ({ name, at: 0, size: workgroups[i] * 4 }));
      grids.push({ workgroups: most, recorded: await resources.record(dispatches), results, passes: 1 });
    }
    const staging = await resources.context.createBuffer(
      "reads on their way",
      Math.max(CHUNK_BYTES, probed.length * Math.max(...GRIDS) * 4),
      USAGE.MAP_READ | USAGE.COPY_DST,
    );
    let expected = 0;
    for (const shard of probed) {
      for (let at = 0; at < shard.bytes; at += CHUNK_BYTES) {
        const size = Math.min(CHUNK_BYTES, shard.bytes - at);
        expected ^= xorOf(await bring(executable, staging, [{ name: shard.buffer, at, size }]));
      }
    }
    return new ReadProbe(executable, bytes, grids, expected, staging);
  }

  /**
   * Takes a sample: bytes a second, by the number of workgroups.
   *
   * @throws ModelComposeError "device" when a read's result is not that of the CPU
   */
  async sample(): Promise<Map<string, number>> {
    const rates = new Map<string, number>();
    for (const grid of this.#grids) {
      let seconds = await this.#time(grid);
      // The first call finds out how many passes make a sample.
      const wanted = Math.min(MOST_PASSES, Math.ceil(SAMPLE_SECONDS / seconds));
      if (wanted > grid.passes) {
        grid.passes = wanted;
        seconds = await this.#time(grid);
      }
      rates.set(`${grid.workgroups} workgroups`, this.bytes / seconds);
    }
    return rates;
  }

  /** Seconds of one pass over the probed buffers: by the GPU's clock, else by the wall clock around all of them. */
  async #time({ recorded, results, passes }: Grid): Promise<number> {
    const { resources } = this.#executable;
    const { context } = resources;
    const { device } = context;
    const times = context.features.timestamps ? await SpanTimer.create(context, passes) : undefined;
    try {
      const encoder = device.createCommandEncoder();
      // What an earlier sample found is no result of this one.
      for (const { name } of results) {
        encoder.clearBuffer(resources.buffer(name));
      }
      for (let pass = 0; pass < passes; pass++) {
        const compute = encoder.beginComputePass(times?.around(pass));
        encode(compute, recorded, NO_SHAPE);
        compute.end();
      }
      times?.resolve(encoder);
      const startedAt = performance.now();
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
      const wallSeconds = (performance.now() - startedAt) / 1000;
      this.#check(xorOf(await bring(this.#executable, this.#staging, results)));
      if (times === undefined) {
        return wallSeconds / passes;
      }
      const seconds = await times.read();
      return seconds.reduce((sum, value) => sum + value, 0) / passes;
    } finally {
      times?.release();
    }
  }

  #check(found: number): void {
    if (found === this.#expected) {
      return;
    }
    const hex = (word: number): string => `0x${(word >>> 0).toString(16).padStart(8, "0")}`;
    throw new ModelComposeError(
      "device",
      `Reading the weights on the GPU ${this.#executable.resources.context.summary.name} gave ${hex(found)}; expected ` +
        `${hex(this.#expected)}.`,
      { remedy: "The timings of such a run mean nothing: suspect the read kernel, then the driver." },
    );
  }
}

/** Brings pieces of buffers to the CPU, one behind the other. */
async function bring(
  { resources }: WebGpuExecutable,
  staging: GPUBuffer,
  pieces: readonly Piece[],
): Promise<Uint32Array> {
  const { device } = resources.context;
  const encoder = device.createCommandEncoder();
  let end = 0;
  for (const { name, at, size } of pieces) {
    encoder.copyBufferToBuffer(resources.buffer(name), at, staging, end, size);
    end += size;
  }
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(MAP.READ, 0, end);
  const words = new Uint32Array(staging.getMappedRange(0, end).slice(0));
  staging.unmap();
  return words;
}

function xorOf(words: Uint32Array): number {
  let xor = 0;
  for (const word of words) {
    xor ^= word;
  }
  return xor;
}
