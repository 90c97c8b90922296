/** Golden models: what PyTorch computed, and our program over the same checkpoint. */
import { fileURLToPath } from "node:url";
import { GREEDY } from "../../bench/harness/workload.ts";
import { openModel } from "../../src/models/open-model.ts";
import type { Checkpoint } from "../../src/runtime/checkpoint/checkpoint.ts";
import type {
  DecodeRequest,
  Executable,
  ExecutableOptions,
  LoadHooks,
  Pass,
  PassResult,
} from "../../src/runtime/backend.ts";
import { ENCODE, type Program } from "../../src/runtime/program.ts";
import { WasmBackend, type WasmOptions } from "../../src/runtime/wasm/backend.ts";
import type { WasmExecutable } from "../../src/runtime/wasm/executable.ts";
import { goldenPath } from "./golden-folder.ts";
import { readGoldenPrompts, type GoldenPrompt } from "./golden-results.ts";

export type { GoldenPrompt };

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
  const { program, checkpoint } = await openModel(directory);
  return { program, checkpoint, prompts: readGoldenPrompts(directory) };
}

export async function loadGolden(
  { program, checkpoint }: Pick<GoldenModel, "program" | "checkpoint">,
  options: WasmOptions = {},
  { onWeights, signal, ...loading }: Partial<ExecutableOptions> & LoadHooks = {},
): Promise<WasmExecutable> {
  const contextLength = Math.min(256, learnedPositions(program));
  const preparation = await new WasmBackend(options).prepare(program, checkpoint, {
    contextLength,
    slots: 1,
    ...loading,
  });
  return preparation.load({ onWeights, signal });
}

/** The number of positions that a program has embeddings for; Infinity where they are computed. */
function learnedPositions({ entries, matrices }: Program): number {
  const ops = [...entries.values()].flat().flatMap((group) => group.ops);
  const tables = ops.flatMap((op) => (op.role === "positions" ? [[op.table, op.offset] as const] : []));
  return Math.min(...tables.map(([table, offset]) => (matrices.get(table)?.rows ?? 0) - offset));
}

/** The ids that the entry with the logits reads. */
export function forwardIds({ input_ids, decoder_input_ids = input_ids }: GoldenPrompt): readonly number[] {
  return decoder_input_ids;
}

/** The ids that `greedy` comes after. */
export function greedyStart({ input_ids, decoder_input_ids }: GoldenPrompt): readonly number[] {
  return decoder_input_ids?.slice(0, 1) ?? input_ids;
}

/**
 * Encodes a prompt where there is an encoder.
 *
 * @returns what later passes carry, and the activations of the encoder's ops, [R][columns], where `trace` is set
 */
export async function encode(
  executable: Executable,
  { input_ids, decoder_input_ids }: GoldenPrompt,
  trace = false,
): Promise<{ sourceLength?: number; activations: PassResult["activations"] }> {
  if (decoder_input_ids === undefined) {
    return { activations: new Map() };
  }
  const sourceLength = input_ids.length;
  const { activations } = await executable.run({ ...passOf(input_ids), entry: ENCODE, sourceLength, trace });
  return { sourceLength, activations };
}

/** A pass of consecutive tokens of one slot. */
export function passOf(tokens: readonly number[], position = 0, slot = 0, sourceLength?: number): Pass {
  return {
    tokens: Int32Array.from(tokens),
    slots: new Int32Array(tokens.length).fill(slot),
    positions: Int32Array.from(tokens, (_, r) => position + r),
    sourceLength,
  };
}

/** The place where a pass goes. */
interface Place {
  /** Most rows of a pass. */
  size?: number;
  position?: number;
  slot?: number;
  sourceLength?: number;
}

/** Runs tokens in passes of at most `size` rows. @returns the logits of the last one, [vocabulary] */
export async function prefill(
  executable: Executable,
  tokens: readonly number[],
  { size = executable.maxRows, position = 0, slot = 0, sourceLength }: Place = {},
): Promise<Float32Array> {
  let result: PassResult | undefined;
  for (let from = 0; from < tokens.length; from += size) {
    const part = tokens.slice(from, from + size);
    const logitRows = from + size >= tokens.length ? Int32Array.of(part.length - 1) : undefined;
    result = await executable.run({ ...passOf(part, position + from, slot, sourceLength), logitRows });
  }
  if (result === undefined) {
    throw new Error("prefill of no tokens");
  }
  return result.logits;
}

/** The request of a plain greedy decode. */
export function greedyRequest(
  tokens: readonly number[],
  count: number,
  onToken: DecodeRequest["onToken"],
  { position = 0, slot = 0, sourceLength }: Place = {},
): DecodeRequest {
  return {
    tokens: Int32Array.from(tokens),
    slot,
    position,
    sourceLength,
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
  { size = executable.maxRows, slot = 0, sourceLength }: Omit<Place, "position"> = {},
): Promise<number[]> {
  const rest = Math.floor((prompt.length - 1) / size) * size;
  if (rest > 0) {
    await prefill(executable, prompt.slice(0, rest), { size, slot, sourceLength });
  }
  const tokens: number[] = [];
  await executable.decode(
    greedyRequest(prompt.slice(rest), count, (token) => void tokens.push(token), {
      position: rest,
      slot,
      sourceLength,
    }),
  );
  return tokens;
}
