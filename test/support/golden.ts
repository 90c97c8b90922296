/** Golden models: what PyTorch computed, and our program over the same checkpoint. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GREEDY } from "../../bench/harness/workload.ts";
import { readModelConfig } from "../../src/models/config.ts";
import { buildProgram } from "../../src/models/registry.ts";
import { openCheckpoint, type Checkpoint } from "../../src/runtime/checkpoint.ts";
import type {
  DecodeRequest,
  Executable,
  ExecutableOptions,
  Pass,
  PassResult,
} from "../../src/runtime/backend.ts";
import type { Program } from "../../src/runtime/program.ts";
import { WasmBackend, type WasmExecutable, type WasmOptions } from "../../src/runtime/wasm/backend.ts";
import { goldenPath } from "./model-files.ts";

export interface GoldenPrompt {
  input_ids: number[];
  /** [vocabulary], after the last token. */
  last_logits: number[];
  /** 32 or more ids, with no end of sequence on the way. */
  greedy: number[];
  /** The smallest gap between the two largest logits on the way. */
  greedy_min_margin: number;
  /** [tokens][columns]; prompt 0 only. */
  all_logits?: number[][];
  embeddings?: number[][];
  layer_outputs?: number[][][];
  final_norm?: number[][];
}

export interface GoldenModel {
  program: Program;
  checkpoint: Checkpoint;
  prompts: GoldenPrompt[];
}

/** The bundled model has goldens too. */
export function modelPath(name: string): string {
  return name === "tales" ? fileURLToPath(new URL("../../models/tales", import.meta.url)) : goldenPath(name);
}

export async function openGolden(name: string): Promise<GoldenModel> {
  const directory = modelPath(name);
  const { prompts } = JSON.parse(readFileSync(join(directory, "goldens.json"), "utf8")) as GoldenModel;
  const [config, checkpoint] = await Promise.all([readModelConfig(directory), openCheckpoint(directory)]);
  return { program: buildProgram(config), checkpoint, prompts };
}

export async function loadGolden(
  { program, checkpoint }: Pick<GoldenModel, "program" | "checkpoint">,
  options: WasmOptions = {},
  loading: Partial<ExecutableOptions> = {},
): Promise<WasmExecutable> {
  return new WasmBackend(options).load(program, checkpoint, { contextLength: 256, slots: 1, ...loading });
}

/** A pass of consecutive tokens of one slot. */
export function passOf(tokens: readonly number[], position = 0, slot = 0): Pass {
  return {
    tokens: Int32Array.from(tokens),
    slots: new Int32Array(tokens.length).fill(slot),
    positions: Int32Array.from(tokens, (_, r) => position + r),
  };
}

/** Runs tokens in passes of at most `size` rows; the logits of the last one. */
export async function prefill(
  executable: Executable,
  tokens: readonly number[],
  {
    size = executable.maxRows,
    position = 0,
    slot = 0,
  }: { size?: number; position?: number; slot?: number } = {},
): Promise<Float32Array> {
  let result: PassResult | undefined;
  for (let from = 0; from < tokens.length; from += size) {
    const part = tokens.slice(from, from + size);
    const logitRows = from + size >= tokens.length ? Int32Array.of(part.length - 1) : undefined;
    result = await executable.run({ ...passOf(part, position + from, slot), logitRows });
  }
  if (result === undefined) throw new Error("prefill of no tokens");
  return result.logits;
}

/** What a plain greedy decode asks for. */
export function greedyRequest(
  tokens: readonly number[],
  count: number,
  onToken: DecodeRequest["onToken"],
  { position = 0, slot = 0 }: { position?: number; slot?: number } = {},
): DecodeRequest {
  return {
    tokens: Int32Array.from(tokens),
    slot,
    position,
    count,
    sampling: GREEDY,
    history: Int32Array.from(tokens),
    eosTokenIds: [],
    minNewTokens: 0,
    sequence: [0, 0, 0],
    onToken,
  };
}

/** `count` greedy tokens after a prompt, itself in passes of at most `size` rows. */
export async function greedy(
  executable: Executable,
  prompt: readonly number[],
  count: number,
  { size = executable.maxRows, slot = 0 }: { size?: number; slot?: number } = {},
): Promise<number[]> {
  const rest = Math.floor((prompt.length - 1) / size) * size;
  if (rest > 0) await prefill(executable, prompt.slice(0, rest), { size, slot });
  const tokens: number[] = [];
  await executable.decode(
    greedyRequest(prompt.slice(rest), count, (token) => void tokens.push(token), { position: rest, slot }),
  );
  return tokens;
}
