import { expect, test } from "vitest";
import { defaultKvPrecision, heldFormats } from "./held-formats.ts";
import { ProgramBuilder, type Program } from "./program.ts";
import { kvLayers } from "./state.ts";

/** Two layers over a table of tokens and one of positions; the output layer has the table of tokens. */
function program(): Program {
  const builder = new ProgramBuilder();
  for (const name of ["x", "q", "k", "v"]) {
    builder.buffer(name, 64);
  }
  builder.group("embedding");
  builder.matrix("tokens", 100, 64);
  builder.matrix("positions", 9, 64);
  builder.op({ role: "embed", table: "tokens", output: "x" });
  builder.op({ role: "positions", table: "positions", offset: 0, target: "x" });
  for (let layer = 0; layer < 2; layer++) {
    builder.group(`layer ${layer}`);
    for (const name of ["q", "k", "v", "o"]) {
      builder.matrix(`${name} ${layer}`, 64, 64);
    }
    for (const name of ["q", "k", "v"]) {
      builder.op({ role: "linear", input: "x", weight: `${name} ${layer}`, output: name, accumulate: false });
    }
    builder.op({ role: "append", key: "k", value: "v", layer });
    builder.op({ role: "attention", over: "past", query: "q", layer, heads: 2, scale: 1, output: "q" });
    builder.op({ role: "linear", input: "q", weight: `o ${layer}`, output: "x", accumulate: true });
  }
  builder.group("head");
  builder.op({ role: "logits", input: "x", weight: "tokens" });
  return builder.build({
    family: "test",
    vocabSize: 100,
    maxPositions: 8,
    state: kvLayers(2, { kvHeads: 2, headDim: 32 }),
  });
}

const formats = (quantization: "none" | "int8" | "int4"): Record<string, string> => {
  const held = heldFormats(program(), quantization);
  return Object.fromEntries([...program().matrices.keys()].map((name) => [name, held(name, "bf16")]));
};

test("nothing is asked for: as stored", () => {
  expect(new Set(Object.values(formats("none")))).toEqual(new Set(["bf16"]));
  expect(heldFormats(program(), "none")("q 0", "i8-row")).toBe("i8-row");
});

test("int8 is everywhere but in tables of positions", () => {
  const { positions, ...others } = formats("int8");
  expect(positions).toBe("bf16");
  expect(new Set(Object.values(others))).toEqual(new Set(["int8"]));
});

test("int4 leaves tokens, output layer and values at 8 bits", () => {
  expect(formats("int4")).toEqual({
    tokens: "int8",
    positions: "bf16",
    ...Object.fromEntries(
      [0, 1].flatMap((layer) => [
        [`q ${layer}`, "int4"],
        [`k ${layer}`, "int4"],
        [`v ${layer}`, "int8"],
        [`o ${layer}`, "int4"],
      ]),
    ),
  });
});

test("what the checkpoint has quantised stays", () => {
  expect(heldFormats(program(), "int4")("q 0", "i8-row")).toBe("i8-row");
});

test("who wants smaller weights has a smaller cache", () => {
  expect(["none" as const, "int8" as const, "int4" as const].map(defaultKvPrecision)).toEqual([
    "float32",
    "float16",
    "float16",
  ]);
});
