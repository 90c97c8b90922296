/** Which quantization a model is loaded with where that is left to the machine, and what the others would need. */
import { formatBytes } from "../base/bytes.ts";
import type { Preparation } from "./backend.ts";
import { QUANTIZATIONS, type Quantization } from "./held-formats.ts";
import { fitsMemory, hasRoom, type MemoryAlternative } from "./memory-check.ts";

/** Prepares a program with a quantization. */
type Prepare = (quantization: Quantization) => Promise<Preparation>;

export interface ChosenQuantization {
  readonly preparation: Preparation;
  readonly chosen: Quantization;
  /** What was chosen, for people; absent where it was asked for by name. */
  readonly notice?: string;
  /** What the model needs with fewer bits, where it has no room with those that were asked for. */
  readonly alternatives: readonly MemoryAlternative[];
}

/**
 * Prepares with the quantization that was asked for; "auto" is the one of most bits with which weights, work and the whole
 * context fit into this machine's memory, and int4 where none does.
 *
 * @param budget bytes that models share. Where it is given, it counts and not what is free: which other models are loaded at
 *   the moment must not decide what texts this one writes.
 */
export async function quantizedForCpu(
  asked: Quantization | "auto",
  prepare: Prepare,
  contextLength: number,
  budget?: number,
): Promise<ChosenQuantization> {
  const fits = ({ memory }: Preparation): boolean => fitsMemory(memory, contextLength, budget);
  if (asked === "auto") {
    return choose(prepare, fits);
  }
  const preparation = await prepare(asked);
  if (budget === undefined ? hasRoom(preparation.memory, contextLength) : fits(preparation)) {
    return { preparation, chosen: asked, alternatives: [] };
  }
  const smaller = QUANTIZATIONS.slice(QUANTIZATIONS.indexOf(asked) + 1);
  const alternatives = await Promise.all(
    smaller.map(async (quantization) => ({ quantization, need: (await prepare(quantization)).memory })),
  );
  return { preparation, chosen: asked, alternatives };
}

/**
 * The same for a GPU, which does not tell what memory it has: "auto" takes fewer bits only where a budget in bytes is given
 * that the weights as they are do not fit into.
 */
export async function quantizedForGpu(
  asked: Quantization | "auto",
  prepare: Prepare,
  budget: number | undefined,
): Promise<ChosenQuantization> {
  if (asked !== "auto") {
    return { preparation: await prepare(asked), chosen: asked, alternatives: [] };
  }
  return choose(
    prepare,
    ({ memory: { weightBytes, kvCacheBytes, workBytes } }) =>
      budget === undefined || weightBytes + kvCacheBytes + workBytes <= budget,
  );
}

async function choose(
  prepare: Prepare,
  fits: (preparation: Preparation) => boolean,
): Promise<ChosenQuantization> {
  for (const quantization of QUANTIZATIONS) {
    const preparation = await prepare(quantization);
    if (quantization === "int4" || fits(preparation)) {
      const bytes = formatBytes(preparation.memory.weightBytes);
      const notice =
        quantization === "none"
          ? `Quantization: none; the weights as they are stored (${bytes}) fit.`
          : `Quantization: ${quantization} (weights of ${bytes}), since more bits would not fit.`;
      return { preparation, chosen: quantization, notice, alternatives: [] };
    }
    await preparation.dispose();
  }
  throw new Error("The last quantization is always taken.");
}
