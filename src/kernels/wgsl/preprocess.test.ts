import { describe, expect, test } from "vitest";
import { preprocess, type ShaderConstants } from "./preprocess.ts";

const process = (main: string, constants: ShaderConstants = {}, files: Record<string, string> = {}): string =>
  preprocess("main.wgsl", constants, (path) => (path === "main.wgsl" ? main : files[path]));

test("numbers become constants at the head, where a line mentions them", () => {
  expect(process("a(N, M, E);", { N: 3, M: -2, E: 1e-5 })).toBe(
    "const N = 3u;\nconst M = -2i;\nconst E = 0.00001f;\na(N, M, E);",
  );
});

describe("conditions", () => {
  const text =
    '#if KIND == "add"\nadd\n#elif KIND == store && FAST\nstore fast\n#elif !FAST\nslow\n#else\nother\n#endif';
  test.each([
    [{ KIND: "add", FAST: true }, "add"],
    [{ KIND: "store", FAST: true }, "store fast"],
    [{ KIND: "store", FAST: false }, "slow"],
    [{ KIND: "gate", FAST: true }, "other"],
  ])("%j", (constants, expected) => {
    expect(process(text, constants)).toBe(expected);
  });

  test("either of several", () => {
    expect(process("#if N == 1 || N == 2\nyes\n#endif", { N: 2 })).toBe("yes");
    expect(process("#if N == 1 || N == 2\nyes\n#endif\nN", { N: 3 })).toBe("const N = 3u;\nN");
    expect(process("#if N != 1\nyes\n#endif", { N: 2 })).toBe("yes");
  });

  test("nest, and what is not reached is not looked at", () => {
    const nested = "#if A\n#if B\nboth\n#else\na\n#endif\n#else\n#if UNKNOWN\n#endif\nnone\n#endif";
    expect(process(nested, { A: true, B: false })).toBe("a");
    expect(process(nested, { A: true, B: true })).toBe("both");
    expect(process("#if A\n1\n#if UNKNOWN\n2\n#endif\n#endif\nrest", { A: false })).toBe("rest");
  });
});

describe("loops", () => {
  test("are written out, inner ones too, with the turn where it is named", () => {
    const text = "#for I N\na[$I] $INDEX;\n#for J 2\nb[$I * 2u + $J];\n#endfor\n#endfor\nend";
    expect(process(text, { N: 2 })).toBe(
      "a[0u] $INDEX;\nb[0u * 2u + 0u];\nb[0u * 2u + 1u];\na[1u] $INDEX;\nb[1u * 2u + 0u];\nb[1u * 2u + 1u];\nend",
    );
    expect(process("#for I N // turns\na\n#endfor\nend", { N: 0 })).toBe("end");
  });

  test("in conditions, and conditions in them", () => {
    const text = "#if A\n#for I 2\n#if B\n$I\n#endif\n#endfor\n#else\n#for I 1\nnone\n#endfor\n#endif";
    expect(process(text, { A: true, B: true })).toBe("0u\n1u");
    expect(process(text, { A: true, B: false })).toBe("");
    expect(process(text, { A: false, B: false })).toBe("none");
  });
});

test("files are included once, directives of WGSL go to the top", () => {
  const files = { "a.wgsl": '#include "b.wgsl"\na', "b.wgsl": "enable f16;\nb" };
  expect(process('#include "a.wgsl"\n#include "b.wgsl"\nmain', {}, files)).toBe("enable f16;\nb\na\nmain");
});

test.each<[string, ShaderConstants, RegExp]>([
  ["#if UNKNOWN\n#endif", {}, /main\.wgsl:1: there is no constant UNKNOWN/],
  ["text", { N: 1 }, /no line mentions the constants N/],
  ["\n#if A", { A: true }, /main\.wgsl:2: #if without #endif/],
  ["#endif", {}, /main\.wgsl:1: #endif without #if/],
  ["#else", {}, /main\.wgsl:1: #else without #if/],
  ["#if A\n#else\n#else\n#endif", { A: true }, /main\.wgsl:3: #else without #if/],
  ["\n#for I 2\n#for J 2\n#endfor", {}, /main\.wgsl:2: #for without #endfor/],
  ["#endfor", {}, /main\.wgsl:1: #endfor without #for/],
  ["#for I\n#endfor", {}, /main\.wgsl:1: expected #for NAME COUNT; found "#for I"/],
  ["#for I N\n#endfor", {}, /main\.wgsl:1: the count of #for must be .*; found N/],
  ["#for I N\n#endfor", { N: true }, /the count of #for must be/],
  ["#for I N\n#endfor", { N: 1.5 }, /the count of #for must be/],
  ["#for I N\nwrong\n#if B\n#endif\n#endfor", { N: 1 }, /main\.wgsl:3: there is no constant B/],
  ["#define A", {}, /main\.wgsl:1: there is no directive #define/],
  ['#include "none.wgsl"', {}, /main\.wgsl:1: there is no WGSL file "none\.wgsl"/],
  ["#include none", {}, /main\.wgsl:1: expected #include "path"/],
  ["#if A >\n#endif", { A: 1 }, /the condition "A >" is not understood/],
  ["#if A\n#endif", { A: "text" }, /A is a string; compare it with one/],
  ["#if !A == 1\n#endif", { A: 1 }, /write != instead of !/],
  ["A", { A: Infinity }, /A must be finite/],
])("%j with %j is refused", (text, constants, message) => {
  expect(() => process(text, constants)).toThrow(message);
});
