/** The weights of a program as a device has them that quantises them while it loads. */
import { FORMATS, isQuantized, PANEL, panelBytes, type QuantizedFormat } from "../../src/kernels/format.ts";
import type { Checkpoint } from "../../src/runtime/checkpoint/checkpoint.ts";
import { matrixSlice } from "../../src/runtime/checkpoint/weight-source.ts";
import { heldFormats, type Quantization } from "../../src/runtime/held-formats.ts";
import type { Program } from "../../src/runtime/program.ts";
import { largest, openExactGolden, type ExactGolden } from "./accuracy.ts";
import { quantizedValues } from "./quantized.ts";
import { readWeights, referencePass } from "./reference-model.ts";
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

/** A golden model beside the exact results of its quantised weights. */
export async function openQuantizedGolden(
  name: string,
  quantization: Quantization,
): Promise<{ golden: ExactGolden; weights: Map<string, Float64Array> }> {
  const stored = await openExactGolden(name);
  const weights = readQuantizedWeights(stored.program, stored.checkpoint, quantization);
  const exact = stored.prompts.map((prompt) => referencePass(stored.program, weights, prompt));
  const truths = exact.map(({ logits }) => logits.at(-1) ?? []);
  // PyTorch's results are those of other weights; how near they come to those of their own says what f32 may err by.
  const prompts = stored.prompts.map(({ input_ids, decoder_input_ids, greedy: ids, ...rest }) => ({
    input_ids,
    decoder_input_ids,
    greedy: ids,
    greedy_min_margin: rest.greedy_min_margin,
    last_logits: rest.last_logits,
  }));
  const distant = stored.relative * Math.max(...truths.map(largest));
  return { golden: { ...stored, prompts, exact, distant }, weights };
}
