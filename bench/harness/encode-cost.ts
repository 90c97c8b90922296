/**
 * Measures what a decoded token costs the calling thread, on Dawn's null backend: the same program, the same
 * dispatches, the same calls, and no GPU that would be waited for. No kernel runs there, so every token is 0.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MemoryUse } from "../../src/runtime/backend.ts";
import { WebGpuBackend } from "../../src/runtime/webgpu/backend.ts";
import type { StepCost } from "../../src/runtime/webgpu/run/decode-request.ts";
import { CHECKPOINT_SHAPES, checkpointOfShape } from "../checkpoint/shapes.ts";
import { writeCheckpoint } from "../checkpoint/write-checkpoint.ts";
import type { EncodeFlags } from "./flags.ts";
import { machineJson, machineText, thisMachine, type Machine } from "./machine.ts";
import { medianCost, type MedianCost } from "./measurements.ts";
import type { Progress } from "./progress.ts";
import { openSubject } from "./subject.ts";
import { alignColumns } from "../../src/base/text-table.ts";
import { greedyDecode, randomTokens } from "./workload.ts";

const NARROW = "smollm3-narrow";
const PROMPT_SEED = 2;
/** Runs that nobody looks at: the first calls of JavaScript are slow. */
const WARM_UP_RUNS = 1;

/** One decode: the medians of its steps, and processor time of the whole process. */
interface EncodeRun extends MedianCost {
  cpuMilliseconds: number;
}

/** What was run, and what every run cost. */
export interface EncodeResult {
  model: string;
  family: string;
  layers: number;
  adapter: string;
  decodePromptTokens: number;
  newTokens: number;
  contextLength: number;
  machine: Machine;
  memory: MemoryUse;
  runs: readonly EncodeRun[];
}

/**
 * Measures on the model that is named, or on a narrow one that is written for this.
 *
 * @throws ModelComposeError for a model that is not there or does not fit into what the null backend holds
 */
export async function measureEncodeCost(flags: EncodeFlags, progress: Progress): Promise<EncodeResult> {
  if (flags.model !== undefined) {
    return measure(flags.model, flags.model, flags, progress);
  }
  const folder = await mkdtemp(join(tmpdir(), "model-compose-narrow-"));
  try {
    progress.phase("Writing a narrow checkpoint");
    await writeCheckpoint(folder, checkpointOfShape(CHECKPOINT_SHAPES[NARROW]), { dtype: "bf16", seed: 0 });
    return await measure(folder, NARROW, flags, progress);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function measure(
  directory: string,
  model: string,
  flags: EncodeFlags,
  progress: Progress,
): Promise<EncodeResult> {
  const { decodePromptTokens, newTokens, repeat } = flags;
  const lengths = { ...flags, promptTokens: decodePromptTokens };
  const { program, checkpoint, contextLength } = await openSubject(directory, lengths);
  // The settings are those of a GPU: its kernels, and without the guards that only tests want.
  const backend = new WebGpuBackend({
    name: "null",
    dawnFlags: ["backend=null"],
    validation: "off",
    forced: { kind: "hardware" },
  });
  progress.phase("Loading");
  const preparation = await backend.prepare(program, checkpoint, { contextLength, slots: 1 });
  const executable = await preparation.load();
  try {
    // This backend neither clears buffers nor copies them: a status found there by chance would end the decode.
    for (const buffer of (await executable.takeRing(false)).buffers) {
      preparation.context.device.queue.writeBuffer(buffer, 0, new Uint8Array(buffer.size));
    }
    const prompt = randomTokens(decodePromptTokens, program.vocabSize, PROMPT_SEED);
    const runs: EncodeRun[] = [];
    for (let run = 1 - WARM_UP_RUNS; run <= repeat; run++) {
      progress.phase(`Decode (${run} of ${repeat})`);
      const costs: StepCost[] = [];
      const request = greedyDecode(prompt, newTokens, () => undefined);
      const before = process.cpuUsage();
      await executable.decode({ ...request, onStep: (cost) => void costs.push(cost) });
      const { user, system } = process.cpuUsage(before);
      if (run > 0) {
        runs.push({ ...medianCost(costs), cpuMilliseconds: (user + system) / 1000 / newTokens });
      }
    }
    return {
      model,
      family: program.family,
      layers: program.state.length,
      adapter: preparation.context.summary.name,
      decodePromptTokens,
      newTokens,
      contextLength,
      machine: thisMachine(),
      memory: executable.memory,
      runs,
    };
  } finally {
    await executable.dispose();
  }
}

const FIGURES = {
  encode_ms_per_token: "encodeMilliseconds",
  submit_ms_per_token: "submitMilliseconds",
  encode_and_submit_ms_per_token: "bothMilliseconds",
  cpu_ms_per_token: "cpuMilliseconds",
} as const satisfies Record<string, keyof EncodeRun>;

/**
 * The result as flat JSON: of every figure the smallest run (neighbours on the machine only add), and beside it all
 * runs in order.
 */
export function encodeJson(result: EncodeResult): Record<string, string | number | readonly number[]> {
  const { runs, memory } = result;
  const figures: Record<string, number | readonly number[]> = {};
  for (const [name, key] of Object.entries(FIGURES)) {
    const values = runs.map((run) => run[key]);
    figures[name] = Math.min(...values);
    figures[`${name}_runs`] = values;
  }
  return {
    model: result.model,
    family: result.family,
    layers: result.layers,
    adapter: result.adapter,
    decode_prompt_tokens: result.decodePromptTokens,
    new_tokens: result.newTokens,
    context_length: result.contextLength,
    repeat: runs.length,
    ...machineJson(result.machine),
    dispatches_per_token: runs[0].dispatches,
    ...figures,
    weight_bytes: memory.weightBytes,
    kv_cache_bytes: memory.kvCacheBytes,
    work_bytes: memory.workBytes,
  };
}

export function encodeTable(result: EncodeResult): string {
  const milliseconds = (value: number): string => `${value.toFixed(3)} ms`;
  const row = (name: string, key: keyof EncodeRun): string[] => {
    const values = result.runs.map((run) => run[key]);
    return [name, milliseconds(Math.min(...values)), values.map((value) => value.toFixed(3)).join(" ")];
  };
  return [
    `${result.model}: ${result.layers} layers on Dawn's null backend, ${result.newTokens} tokens after ${result.decodePromptTokens}`,
    machineText(result.machine),
    "",
    ...alignColumns([
      ["a token", "best run", "median of each run"],
      ["dispatches", String(result.runs[0].dispatches)],
      row("encode", "encodeMilliseconds"),
      row("submit", "submitMilliseconds"),
      row("encode + submit", "bothMilliseconds"),
      [...row("processor time", "cpuMilliseconds"), "mean, of all threads"],
    ]),
  ].join("\n");
}
