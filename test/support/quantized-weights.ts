/** The weights of a program as a device has them that quantises them while it loads. */
import { FORMATS, isQuantized, PANEL, panelBytes, type QuantizedFormat } from "../../src/kernels/format.ts";
import type { Checkpoint } from "../../src/runtime/checkpoint/checkpoint.ts";
import { matrixSlice } from "../../src/runtime/checkpoint/weight-source.ts";
import { heldFormats, type Quantization } from "../../src/runtime/held-formats.ts";
import type { Program } from "../../src/runtime/program.ts";
import { largest, type ExactGolden } from "./accuracy.ts";
import type { PrepareInput } from "./interpreter.ts";
import { quantizedActivations, quantizedValues } from "./quantized.ts";
import { readWeights, referencePass, type ReferencePass } from "./reference-model.ts";
import { WasmLab } from "./wasm-lab.ts";

/**
 * Every weight of a program, row-major: the numbers that a matrix which is held quantised has as panels of the CPU, the others
 * as they are.
 */
export function readQuantizedWeights(
  program: Program,
  checkpoint: Checkpoint,
  quantization: Quantization,
): Map<string, Float64Array> {
  const weights = readWeights(program, checkpoint);
  const held = heldFormats(program, quantization);
  for (const [name, { columns }] of program.matrices) {
    const format = held(name, matrixSlice(program, checkpoint, name).format);
    if (isQuantized(format)) {
      weights.set(name, quantized(weights.get(name) ?? new Float64Array(), columns, format));
    }
  }
  return weights;
}

/** What f32 numbers [rows][columns] become. */
export function quantized(values: Float64Array, columns: number, format: QuantizedFormat): Float64Array {
  const rows = values.length / columns;
  const panels = Math.ceil(rows / PANEL);
  const words = (panels * panelBytes(format, columns)) / 4;
  const lab = new WasmLab("baseline", Math.ceil((values.length + words + 4 * columns) / 2 ** 18) + 1);
  const source = lab.numbers(values);
  const packed = lab.take(words);
  const scratch = lab.take(2 * (columns + 64));
  for (let p = 0; p < panels; p++) {
    lab.kernels.quantize_panel(
      source.address + p * PANEL * columns * 4,
      columns * 4,
      columns,
      Math.min(PANEL, rows - p * PANEL),
      packed.address,
      p,
      panels,
      FORMATS.f32.code,
      FORMATS[format].code,
      scratch.address,
    );
  }
  return quantizedValues(packed.u8, format, rows, columns).values;
}

/** A golden model over the weights that are made of its own. */
export interface QuantizedGolden extends ExactGolden {
  readonly weights: Map<string, Float64Array>;
}

/**
 * The same model over the weights that `quantization` makes of it: what is exact then, how far off f32 may be (as far as
 * PyTorch is over the original weights, relative to the largest logit), and PyTorch's last results, which are those of other
 * weights.
 */
export function quantizedGolden(golden: ExactGolden, quantization: Quantization): QuantizedGolden {
  const { program, checkpoint, relative } = golden;
  const weights = readQuantizedWeights(program, checkpoint, quantization);
  const exact = golden.prompts.map((prompt) => referencePass(program, weights, prompt));
  const prompts = golden.prompts.map(
    ({ input_ids, decoder_input_ids, last_logits, greedy, greedy_min_margin }) => ({
      input_ids,
      decoder_input_ids,
      last_logits,
      greedy,
      greedy_min_margin,
    }),
  );
  const distant = relative * Math.max(...exact.map(({ logits }) => largest(logits.at(-1) ?? [])));
  return { ...golden, prompts, exact, distant, weights };
}

/** The exact results of each prompt, with activations that products of quantised matrices see as int8. */
export function integerResults(golden: QuantizedGolden, quantization: Quantization): ReferencePass[] {
  const { program, checkpoint, weights, prompts } = golden;
  const held = heldFormats(program, quantization);
  const prepare: PrepareInput = (row, matrix) =>
    isQuantized(held(matrix, matrixSlice(program, checkpoint, matrix).format))
      ? quantizedActivations(row, row.length)
      : row;
  return prompts.map((prompt) => referencePass(program, weights, prompt, "f64", { prepare }));
}
