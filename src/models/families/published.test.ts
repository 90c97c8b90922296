/**
 * Checks the Programs of published models: that they read every tensor by the name and shape that the hub's files have,
 * each part of it once, and have as many parameters as transformers counts.
 */
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { expect, test } from "vitest";
import { temporaryFile } from "../../../test/support/model-files.ts";
import type { Program, RowRange, WeightSource } from "../../runtime/program.ts";
import { describeModel } from "../describe-model.ts";

interface Published {
  config: Record<string, unknown>;
  parameters: number;
  /** The shape of each tensor, and how many of it there are, by name with * for the layer, and for the expert. */
  tensors: Record<string, [number[], number]>;
}

const published = JSON.parse(
  readFileSync(new URL("../../../test/fixtures/published/published.json", import.meta.url), "utf8"),
) as Record<string, Published>;

async function programOf(values: Record<string, unknown>): Promise<Program> {
  const file = temporaryFile("config.json", JSON.stringify(values));
  return (await describeModel(dirname(file))).program;
}

interface ReadTensor {
  shape: number[];
  ranges: RowRange[];
}

/** The parts that a program reads of each tensor. */
function tensorsOf({ matrices, vectors }: Program): Map<string, ReadTensor> {
  const tensors = new Map<string, ReadTensor>();
  const add = (
    name: string,
    rows: number,
    shapeOf: (rows: number) => number[],
    { tensor, ...rest }: WeightSource = { tensor: name, rows },
  ): void => {
    const shape = shapeOf(rest.rows);
    if (rest.transposed === true) {
      shape.reverse();
    }
    const known = tensors.get(tensor) ?? { shape, ranges: [] };
    expect(shape, name).toEqual(known.shape);
    known.ranges.push(...(rest.ranges ?? [{ start: 0, end: rest.rows }]));
    tensors.set(tensor, known);
  };
  for (const [name, { rows, columns, source }] of matrices) {
    add(name, rows, (all) => [all, columns], source);
  }
  for (const [name, { length, source, gather }] of vectors) {
    if (gather === undefined) {
      add(name, length, (all) => [all], source);
    } else if (!tensors.has(source?.tensor ?? name)) {
      // Numbers of it, any number of times: several vectors may read it.
      add(name, 0, (all) => [all, gather.columns], source);
    }
  }
  return tensors;
}

test.each(Object.entries(published))("%s", async (_name, { config, parameters, tensors }) => {
  const program = await programOf(config);
  const found = new Map<string, [number[], number]>();
  let count = 0;
  for (const [name, { shape, ranges }] of tensorsOf(program)) {
    const pattern = name.replaceAll(/\.\d+(?=\.)/g, ".*");
    found.set(pattern, [shape, (found.get(pattern)?.[1] ?? 0) + 1]);
    const sorted = ranges.toSorted((a, b) => a.start - b.start);
    // Some matrices are made of tens of thousands of ranges: one expectation says whether they leave a gap.
    const gap = sorted.find(({ start }, i) => start !== (sorted[i - 1]?.end ?? 0));
    expect(gap, name).toBeUndefined();
    expect(shape, name).toContain(sorted.at(-1)?.end ?? 0);
    if (name !== "final_logits_bias") {
      count += shape.reduce((product, size) => product * size, 1);
    }
  }
  // Files have the bias of the logits as a matrix of one row.
  const flat = Object.entries(tensors).map(([name, [shape, layers]]) => [
    name,
    [name === "final_logits_bias" ? shape.slice(1) : shape, layers],
  ]);
  expect(Object.fromEntries(found)).toEqual(Object.fromEntries(flat));
  expect(count).toBe(parameters);
});

test("every published family has a length that its tables have", async () => {
  let tables = 0;
  for (const [name, { config }] of Object.entries(published)) {
    const { maxPositions, entries, matrices } = await programOf(config);
    for (const { ops } of [...entries.values()].flat()) {
      for (const op of ops) {
        if (op.role === "positions") {
          expect(matrices.get(op.table)?.rows, name).toBe(maxPositions + op.offset);
          tables++;
        }
      }
    }
  }
  expect(tables).toBeGreaterThanOrEqual(4);
});
