/** What is measured: a model, opened but not loaded. */
import { resolveModelDirectory } from "../../src/models/hub/resolve.ts";
import { openModel } from "../../src/models/open-model.ts";
import type { Checkpoint } from "../../src/runtime/checkpoint/checkpoint.ts";
import { ModelComposeError } from "../../src/base/errors.ts";
import type { Program } from "../../src/runtime/program.ts";
import { matrixSlice, vectorSlice } from "../../src/runtime/checkpoint/weight-source.ts";
import { weightExtents, type Extent } from "./extents.ts";
import { contextLengthFor, type Lengths } from "./workload.ts";

/** A model that is ready to be loaded. */
export interface Subject {
  program: Program;
  checkpoint: Checkpoint;
  contextLength: number;
}

/**
 * Opens a model and finds the context for the lengths.
 *
 * @throws ModelComposeError for a model that is not there or is an encoder–decoder, or lengths that do not fit
 */
export async function openSubject(model: string, lengths: Lengths): Promise<Subject> {
  const directory = await resolveModelDirectory(model);
  const { program, checkpoint } = await openModel(directory);
  if (program.architecture === "seq2seq") {
    throw new ModelComposeError(
      "unsupported",
      `"${model}" is an encoder–decoder (${program.family}); the benchmark measures decoders.`,
      { remedy: "Name a decoder. `generate --json` reports the timings of any model." },
    );
  }
  return { program, checkpoint, contextLength: contextLengthFor(lengths, program.maxPositions) };
}

/**
 * The bytes that loading reads.
 *
 * @throws ModelComposeError for tensors that are missing or of another shape
 */
export function extentsOf({ program, checkpoint }: Subject): Extent[] {
  const matrices = [...program.matrices.keys()].map((name) => matrixSlice(program, checkpoint, name));
  const vectors = [...program.vectors.keys()].map((name) => vectorSlice(program, checkpoint, name));
  return weightExtents([...new Set([...matrices, ...vectors].map(({ tensor }) => tensor))]);
}
