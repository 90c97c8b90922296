import { describe, expect, it } from "vitest";
import { assemble, pickle, text } from "../../../../test/support/pickle.ts";
import { MAX_PICKLE_BYTES, PickleEndsEarly } from "./pickle-bytes.ts";
import { readPickle, type PickleBuilder } from "./pickle.ts";
import type { PyDict } from "./pickle-values.ts";
import { PyFloat, PyList, PyTuple } from "./pickle-values.ts";

/** Shows what it is asked for. */
const echo: PickleBuilder = {
  global: (module, name) => `${module}.${name}`,
  reduce: (callable, args) => ({ callable, args: args.items }),
  build: () => undefined,
  persistent: (id) => ({ id }),
};

const read = (...code: readonly (number | string | Uint8Array)[]): unknown =>
  readPickle({ name: "the test", bytes: pickle(...code), start: 0 }, echo).value;

describe("readPickle", () => {
  it.each<[string, Uint8Array, unknown]>([
    ["NONE", assemble("N"), null],
    ["NEWTRUE", assemble(0x88), true],
    ["NEWFALSE", assemble(0x89), false],
    ["BININT", assemble("J", 0xfe, 0xff, 0xff, 0xff), -2],
    ["BININT1", assemble("K", 255), 255],
    ["BININT2", assemble("M", 0xe9, 3), 1001],
    ["LONG1 of nothing", assemble(0x8a, 0), 0],
    ["LONG1 of -1", assemble(0x8a, 1, 255), -1],
    ["LONG1 of 255", assemble(0x8a, 2, 255, 0), 255],
    ["LONG1 of 2^53", assemble(0x8a, 7, 0, 0, 0, 0, 0, 0, 32), 2n ** 53n],
    ["LONG4", assemble(0x8b, 2, 0, 0, 0, 0, 128), -32768],
    ["BINFLOAT", assemble("G", 0x3f, 0xf8, 0, 0, 0, 0, 0, 0), new PyFloat(1.5)],
    ["BINUNICODE", text("é€😀\0"), "é€😀\0"],
    ["SHORT_BINUNICODE", assemble(0x8c, 1, "a"), "a"],
    ["BINUNICODE8", assemble(0x8d, 2, 0, 0, 0, 0, 0, 0, 0, "ab"), "ab"],
    ["SHORT_BINSTRING", assemble("U", 2, "ab"), "ab"],
    ["BINSTRING", assemble("T", 2, 0, 0, 0, "ab"), "ab"],
    ["SHORT_BINBYTES", assemble("C", 2, 0xff, 0), Uint8Array.of(255, 0)],
    ["BINBYTES", assemble("B", 1, 0, 0, 0, 9), Uint8Array.of(9)],
    ["BINBYTES8", assemble(0x8e, 1, 0, 0, 0, 0, 0, 0, 0, 9), Uint8Array.of(9)],
    ["EMPTY_TUPLE", assemble(")"), new PyTuple([])],
    ["TUPLE1", assemble("K", 1, 0x85), new PyTuple([1])],
    ["TUPLE2", assemble("K", 1, "K", 2, 0x86), new PyTuple([1, 2])],
    ["TUPLE3", assemble("K", 1, "K", 2, "K", 3, 0x87), new PyTuple([1, 2, 3])],
    ["TUPLE", assemble("(", "K", 1, "(", "K", 2, "t", "t"), new PyTuple([1, new PyTuple([2])])],
    ["DUP", assemble("K", 1, "2", 0x86), new PyTuple([1, 1])],
    ["POP", assemble("K", 1, "K", 2, "0"), 1],
    ["POP of a mark", assemble("K", 1, "(", "0"), 1],
    ["POP_MARK", assemble("K", 1, "(", "K", 2, "K", 3, "1"), 1],
    ["BINPUT, BINGET", assemble("K", 7, "q", 3, "h", 3, 0x86), new PyTuple([7, 7])],
    [
      "LONG_BINPUT, LONG_BINGET",
      assemble("K", 7, "r", 0, 1, 0, 0, "j", 0, 1, 0, 0, 0x86),
      new PyTuple([7, 7]),
    ],
    ["MEMOIZE", assemble("K", 7, 0x94, "K", 8, 0x94, "h", 0, 0x87), new PyTuple([7, 8, 7])],
    ["FRAME", assemble(0x95, 1, 0, 0, 0, 0, 0, 0, 0, "N"), null],
    ["GLOBAL", assemble("ca\nb\n"), "a.b"],
    ["STACK_GLOBAL", assemble(text("a"), text("b"), 0x93), "a.b"],
    ["REDUCE", assemble("ca\nb\n", "K", 1, 0x85, "R"), { callable: "a.b", args: [1] }],
    ["BUILD", assemble("K", 1, "N", "b"), 1],
    ["BINPERSID", assemble("K", 1, "Q"), { id: 1 }],
  ])("%s", (_name, code, value) => {
    expect(read(code)).toEqual(value);
  });

  it("makes lists and dicts in every way", () => {
    const lists = [
      assemble("]", "(", "K", 1, "K", 2, "e"),
      assemble("]", "K", 1, "a", "K", 2, "a"),
      assemble("(", "K", 1, "K", 2, "l"),
    ];
    for (const list of lists) {
      expect((read(list) as PyList).items).toEqual([1, 2]);
    }
    const dicts = [
      assemble("}", "(", text("a"), "K", 1, text("__proto__"), "K", 2, "u"),
      assemble("}", text("a"), "K", 1, "s", text("__proto__"), "K", 2, "s"),
      assemble("(", text("a"), "K", 1, text("__proto__"), "K", 2, "d"),
    ];
    for (const dict of dicts) {
      expect([...(read(dict) as PyDict).entries]).toEqual([
        ["a", 1],
        ["__proto__", 2],
      ]);
    }
  });

  it("says where it ended", () => {
    const bytes = assemble("junk", pickle("N"), "more");
    expect(readPickle({ name: "the test", bytes, start: 4 }, echo)).toEqual({ value: null, end: 8 });
  });

  it.each<[string, Uint8Array, RegExp]>([
    ["no value", assemble(), /takes a value from an empty stack/],
    ["two values", assemble("N", "N"), /ends with more than one value/],
    ["an open mark", assemble("N", "("), /takes a value from an empty stack/],
    ["values from below a mark", assemble("N", "(", 0x85), /takes a value from an empty stack/],
    ["a mark that is not there", assemble("N", "t"), /a mark that was never set/],
    ["a memo entry that is not there", assemble("h", 5), /entry 5 of its memo/],
    ["an item of no list", assemble("}", "N", "a"), /appends to what is not a list/],
    ["an item of no dict", assemble("]", "N", "N", "s"), /sets an item of what is not a dict/],
    ["a key without value", assemble("}", "(", "N", "u"), /a key without a value/],
    ["a key twice", assemble("}", text("a"), "N", "s", text("a"), "N", "s"), /sets the key "a" twice/],
    ["a name that is no text", assemble("N", "N", 0x93), /by what is not two strings/],
    ["a call without a tuple", assemble("N", "N", "R"), /arguments that are no tuple/],
    ["bytes that are no text", assemble("U", 1, 0xff), /not UTF-8/],
    ["an integer of 17 bytes", assemble(0x8a, 17, new Uint8Array(17)), /an integer of 17 bytes/],
    [
      "a text of 2^63 bytes",
      assemble(0x8d, 0, 0, 0, 0, 0, 0, 0, 128),
      /a value of 9223372036854776000 bytes/,
    ],
    ["a name without end", assemble("c", "x".repeat(2000)), /names a Python object by more than 1024 bytes/],
    ["an unknown instruction", assemble(0xff), /the byte 0xff, which is no instruction/],
  ])("refuses %s", (_what, code, message) => {
    expect(() => read(code)).toThrow(
      expect.objectContaining({
        code: "invalid-checkpoint",
        message: expect.stringMatching(message) as string,
      }),
    );
  });

  it.each([
    0x46, 0x49, 0x4c, 0x50, 0x53, 0x56, 0x67, 0x6f, 0x70, 0x81, 0x82, 0x83, 0x84, 0x8f, 0x90, 0x91, 0x92,
    0x96, 0x97, 0x98,
  ])("refuses the instruction %i by its name", (code) => {
    expect(() => read("N", "N", code, "\n")).toThrow(
      expect.objectContaining({
        code: "unsupported",
        message: expect.stringMatching(/the instruction [A-Z]+/) as string,
      }),
    );
  });

  it("refuses other protocols", () => {
    for (const version of [0, 1, 6]) {
      const bytes = assemble(0x80, version, "N.");
      expect(() => readPickle({ name: "the test", bytes, start: 0 }, echo)).toThrow(
        `has protocol ${version}; supported are 2 to 5`,
      );
    }
  });

  it("tells a pickle that is cut off, wherever that is", () => {
    const whole = pickle("}", text("name"), "ctorch\nSize\n", "M", 1, 2, 0x85, "R", "s");
    for (let length = 0; length < whole.length; length++) {
      const source = { name: "the test", bytes: whole.subarray(0, length), start: 0 };
      expect(() => readPickle(source, echo), String(length)).toThrow(PickleEndsEarly);
    }
  });

  it("bounds what a hostile pickle can make it do", () => {
    const repeated = (byte: string, count: number): Uint8Array =>
      new TextEncoder().encode(byte.repeat(count));
    expect(() => read(repeated("}", 200_000))).toThrow("a stack of more than 100000 values");
    expect(() => read(repeated("(", 200_000))).toThrow("more than 100000 open marks");
    expect(() => read(repeated("N0", 1_500_000))).toThrow("more than 2000000 instructions");
    expect(() => read(assemble("X", 0, 0, 0, 255), repeated("x", 100))).toThrow(
      "a value of 4278190080 bytes",
    );
    expect(MAX_PICKLE_BYTES).toBeLessThan(2 ** 26);
    // Each tuple holds the one before twice: 2^5000 leaves, if anything looked at them.
    expect(read("N", ...Array.from({ length: 5000 }, () => assemble("2", 0x86)))).toBeInstanceOf(PyTuple);
    // Lists within lists, and one within itself.
    const deep = assemble(
      ...Array.from({ length: 50_000 }, () => "]"),
      ...Array.from({ length: 49_999 }, () => "a"),
    );
    expect(read(deep)).toBeInstanceOf(PyList);
    expect(read("]", "q", 0, "h", 0, "a")).toBeInstanceOf(PyList);
  });
});
