/** A golden model whose weights are quantised, and what it computes in exact arithmetic. */
import { FORMATS, isQuantized, PANEL, panelBytes, type QuantizedFormat } from "../../src/kernels/format.ts";
import { matrixSlice } from "../../src/runtime/checkpoint/weight-source.ts";
import { heldFormats } from "../../src/runtime/held-formats.ts";
import type { Program } from "../../src/runtime/program.ts";
import type { ExactGolden } from "./accuracy.ts";
import { largest } from "./accuracy.ts";
import type { PrepareInput } from "./interpreter.ts";
import { quantizedActivations, quantizedValues } from "./quantized.ts";
import { readWeights, referencePass, type ReferencePass } from "./reference-model.ts";
import { WasmLab } from "./wasm-lab.ts";

export interface QuantizedGolden extends ExactGolden {
  /** The exact results over the same weights with activations that products see as int8. */
  readonly integer: readonly ReferencePass[];
}

/**
 * The same model over the weights that `quantization` makes of it: what is exact then, how far off f32 may be (as far as
 * PyTorch is over the original weights, relative to the largest logit), and none of PyTorch's results.
 */
export function quantizedGolden(golden: ExactGolden, quantization: QuantizedFormat): QuantizedGolden {
  const { program, prompts, relative } = golden;
  const weights = dequantizedWeights(golden, quantization);
  const exact = prompts.map((prompt) => referencePass(program, weights, prompt));
  const prepare = integerInputs(golden, quantization);
  return {
    ...golden,
    prompts: prompts.map(({ input_ids, decoder_input_ids, last_logits, greedy, greedy_min_margin }) => ({
      input_ids,
      decoder_input_ids,
      last_logits,
      greedy,
      greedy_min_margin,
    })),
    exact,
    distant: relative * Math.max(...exact.map(({ logits }) => largest(logits.at(-1) ?? []))),
    integer: prompts.map((prompt) => referencePass(program, weights, prompt, "f64", { prepare })),
  };
}

/** Every weight as products see it: quantised by the loader's kernel, read by an implementation of the tests. */
export function dequantizedWeights(
  { program, checkpoint }: Pick<ExactGolden, "program" | "checkpoint">,
  quantization: QuantizedFormat,
): Map<string, Float64Array> {
  const weights = readWeights(program, checkpoint);
  const held = heldFormats(program, quantization);
  const lab = new WasmLab("baseline");
  for (const [name, { rows, columns }] of program.matrices) {
    const format = held(name, matrixSlice(program, checkpoint, name).format);
    const values = weights.get(name);
    if (isQuantized(format) && values !== undefined) {
      weights.set(name, roundTrip(lab, values, format, rows, columns));
    }
  }
  return weights;
}

function roundTrip(
  lab: WasmLab,
  values: Float64Array,
  format: QuantizedFormat,
  rows: number,
  columns: number,
): Float64Array {
  lab.reset();
  const panels = Math.ceil(rows / PANEL);
  const source = lab.numbers(values);
  const packed = lab.take((panels * panelBytes(format, columns)) / 4);
  const padded = Math.ceil(columns / 64) * 64;
  const scratch = lab.take(padded + padded / 16);
  for (let panel = 0; panel < panels; panel++) {
    lab.kernels.quantize_panel(
      source.address + panel * PANEL * columns * 4,
      columns * 4,
      columns,
      Math.min(PANEL, rows - panel * PANEL),
      packed.address,
      panel,
      panels,
      FORMATS.f32.code,
      FORMATS[format].code,
      scratch.address,
    );
  }
  lab.checkGuards();
  return quantizedValues(packed.u8, format, rows, columns).values;
}

/** What products with quantised matrices see of their inputs. */
function integerInputs(
  { program, checkpoint }: { program: Program; checkpoint: ExactGolden["checkpoint"] },
  quantization: QuantizedFormat,
): PrepareInput {
  const held = heldFormats(program, quantization);
  return (row, matrix) =>
    isQuantized(held(matrix, matrixSlice(program, checkpoint, matrix).format))
      ? quantizedActivations(row, row.length)
      : row;
}
