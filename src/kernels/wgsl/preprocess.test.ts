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

test("files are included once, directives of WGSL go to the top", () => {
  const files = { "a.wgsl": '#include "b.wgsl"\na', "b.wgsl": "enable f16;\nb" };
  expect(process('#include "a.wgsl"\n#include "b.wgsl"\nmain', {}, files)).toBe("enable f16;\nb\na\nmain");
});

describe("loops", () => {
  test("are written out, the inner ones for each turn of the outer", () => {
    const nested = "a\n#for I in N\n  b$I\n  #for J in M\n  c$I$J;$J\n  #endfor\n#endfor\nd";
    expect(process(nested, { N: 2, M: 2 })).toBe(
      ["a", "  b0", "  c00;0", "  c01;1", "  b1", "  c10;0", "  c11;1", "d"].join("\n"),
    );
    expect(process("#for I in N\n$I\n#endfor\nend", { N: 0 })).toBe("end");
  });
  test("hold conditions and files, and are left out with what encloses them", () => {
    const text = '#if A\n#for I in N\n#if B\nb$I\n#endif\n#include "a.wgsl"\n#endfor\n#endif\nend';
    const files = { "a.wgsl": "file" };
    expect(process(text, { A: true, B: true, N: 2 }, files)).toBe("b0\nfile\nb1\nfile\nend");
    expect(process(text, { A: false, B: true, N: 2 }, files)).toBe("end");
  });
});

test.each<[string, ShaderConstants, RegExp]>([
  ["#for I in N\n", { N: 2 }, /main\.wgsl:1: #for without #endfor/],
  ["#endfor", {}, /main\.wgsl:1: #endfor without #for/],
  ["#for I in M\n#endfor\n", {}, /expected "#for I in NAME" with a NAME that is a number; found "I in M"/],
  ["#for I in N\n#endfor\n", { N: true }, /expected "#for I in NAME"/],
  ["#if UNKNOWN\n#endif", {}, /main\.wgsl:1: there is no constant UNKNOWN/],
  ["text", { N: 1 }, /no line mentions the constants N/],
  ["\n#if A", { A: true }, /main\.wgsl:2: #if without #endif/],
  ["#endif", {}, /main\.wgsl:1: #endif without #if/],
  ["#else", {}, /main\.wgsl:1: #else without #if/],
  ["#if A\n#else\n#else\n#endif", { A: true }, /main\.wgsl:3: #else without #if/],
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
