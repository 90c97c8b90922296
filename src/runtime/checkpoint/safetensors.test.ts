import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { modelPath } from "../../../test/support/golden.ts";
import { safetensorsBytes, temporaryFile } from "../../../test/support/model-files.ts";
import { readSafetensorsHeader } from "./safetensors.ts";

const read = (header: string | object, data?: Uint8Array) =>
  readSafetensorsHeader(temporaryFile("model.safetensors", safetensorsBytes(header, data)));
const readRaw = (bytes: Uint8Array | string) =>
  readSafetensorsHeader(temporaryFile("model.safetensors", bytes));

const entry = (dtype: string, shape: unknown, begin: unknown, end: unknown): object => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

describe("readSafetensorsHeader", () => {
  it("locates every tensor of a file that transformers wrote", async () => {
    const file = join(modelPath("tales"), "model.safetensors");
    const { tensors } = await readSafetensorsHeader(file);
    expect(tensors).toHaveLength(74);
    const norm = tensors.find(({ name }) => name === "model.norm.weight");
    expect(norm).toMatchObject({ dtype: "BF16", shape: [128], file, byteLength: 256 });
    const last = tensors.at(-1);
    expect(last.offset + last.byteLength).toBe(readFileSync(file).length);
  });

  it("gives absolute offsets in order of the data, also for scalars and empty tensors", async () => {
    const header = {
      b: entry("U8", [3], 4, 7),
      __metadata__: { made: "here" },
      empty: entry("F32", [5, 0], 4, 4),
      a: entry("F32", [], 0, 4),
    };
    const start = 8 + JSON.stringify(header).length;
    const { tensors } = await read(header, new Uint8Array(7));
    expect(tensors.map(({ name, offset, byteLength }) => [name, offset - start, byteLength])).toEqual([
      ["a", 0, 4],
      ["empty", 4, 0],
      ["b", 4, 3],
    ]);
  });

  it.each([
    "BOOL",
    "U8",
    "I8",
    "F8_E4M3",
    "F8_E5M2",
    "U16",
    "I16",
    "F16",
    "BF16",
    "U32",
    "I32",
    "F32",
    "U64",
    "I64",
    "F64",
  ])("recognises %s", async (dtype) => {
    const bytes = { "8": 1, L: 1, "6": 2, "2": 4, "4": 8 }[/^F8/.test(dtype) ? "8" : dtype.slice(-1)]!;
    const { tensors } = await read({ t: entry(dtype, [3], 0, 3 * bytes) }, new Uint8Array(3 * bytes));
    expect(tensors[0]).toMatchObject({ dtype, byteLength: 3 * bytes });
  });

  it.each<[string, string | object, number, string]>([
    ["bad JSON", '{"t": ', 0, "its header is not JSON: it ends in the middle"],
    ["a list", "[1]", 0, 'does not begin with "{"'],
    ["an empty header", "", 0, 'does not begin with "{"'],
    [
      "a duplicate name",
      '{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"t":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
      2,
      'has the key "t" twice',
    ],
    [
      "a dtype twice",
      '{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"dtype":"I8"}}',
      1,
      'has "dtype" twice',
    ],
    ["no shape", { t: { dtype: "U8", data_offsets: [0, 1] } }, 1, 'has no "shape"'],
    [
      "65 dimensions",
      { t: entry("U8", Array(65).fill(1), 0, 1) },
      1,
      "[1,1,1,1,1,1,1,1,…] of more than 64 numbers",
    ],
    ["text after the header", "{} x", 0, "something stands behind the end (byte 3)"],
    ["an entry that is no object", { t: 3 }, 0, 'Tensor "t"'],
    [
      "a dtype that is no name",
      { t: entry(3 as never, [1], 0, 1) },
      1,
      "has dtype 3; expected the name of a type",
    ],
    ["a negative size", { t: entry("U8", [-1], 0, 1) }, 1, "has shape [-1,…]"],
    ["a fractional size", { t: entry("U8", [1.5], 0, 1) }, 1, "has shape [1.5,…]"],
    ["a size beyond 2^53", { t: entry("U8", [2 ** 53], 0, 1) }, 1, "has shape [9007199254740992,…]"],
    ["a shape that is no list", { t: entry("U8", "3", 0, 1) }, 1, 'has shape "3"'],
    ["an overflowing size", { t: entry("F32", [2 ** 40, 2 ** 40], 0, 4) }, 4, "takes more than 2^53 bytes"],
    [
      "offsets that are no pair",
      { t: { dtype: "U8", shape: [1], data_offsets: [0] } },
      1,
      "has data_offsets [0]",
    ],
    ["a negative offset", { t: entry("U8", [1], -1, 0) }, 1, "has data_offsets [-1,…]"],
    ["reversed offsets", { t: entry("U8", [1], 1, 0) }, 1, "expected begin <= end"],
    [
      "offsets beyond the file",
      { t: entry("U8", [9], 0, 9) },
      8,
      "ends at byte 9 of the data, but the file holds 8",
    ],
    [
      "a size that is not shape x dtype",
      { t: entry("F32", [2, 3], 0, 20) },
      20,
      "of dtype F32 and shape [2, 3] takes 24 bytes, but its data_offsets [0, 20] span 20",
    ],
    [
      "an overlap",
      { a: entry("U8", [4], 0, 4), b: entry("U8", [4], 2, 6) },
      6,
      'begins at byte 2 of the data, but "a" ends at byte 4 (overlap)',
    ],
    [
      "a gap",
      { a: entry("U8", [2], 0, 2), b: entry("U8", [2], 4, 6) },
      6,
      'begins at byte 4 of the data, but "a" ends at byte 2 (gap)',
    ],
    [
      "a gap before the first tensor",
      { a: entry("U8", [2], 1, 3) },
      3,
      "but the header ends at byte 0 (gap)",
    ],
    ["bytes after the last tensor", { a: entry("U8", [2], 0, 2) }, 5, "its tensors end at byte"],
  ])("refuses %s", async (_what, header, dataBytes, message) => {
    await expect(read(header, new Uint8Array(dataBytes))).rejects.toMatchObject({
      code: "invalid-checkpoint",
      message: expect.stringContaining(message) as string,
    });
    await expect(read(header, new Uint8Array(dataBytes))).rejects.toThrow("model.safetensors");
  });

  it("passes over metadata, whatever it is", async () => {
    for (const metadata of [null, { made: "here" }, { a: 1 }, [[[]]]]) {
      const { tensors } = await read(
        { __metadata__: metadata, t: entry("U8", [1], 0, 1) },
        new Uint8Array(1),
      );
      expect(tensors).toHaveLength(1);
    }
  });

  it("takes tensors of types that it does not know for bytes, with the name of the type", async () => {
    const header = {
      a: entry("F32", [1], 0, 4),
      b: entry("F6_E3M2", [4], 4, 7),
      c: entry("toString", [1], 7, 8),
    };
    const { tensors } = await read(header, new Uint8Array(8));
    expect(tensors.map(({ name, dtype, foreignType, shape }) => [name, dtype, foreignType, shape])).toEqual([
      ["a", "F32", undefined, [1]],
      ["b", "U8", "F6_E3M2", [3]],
      ["c", "U8", "toString", [1]],
    ]);
  });

  it("quotes no more than the beginning of a long name", async () => {
    const refused = await read({ ["n".repeat(5000)]: entry("U8", [2], 0, 1) }, new Uint8Array(1)).catch(
      String,
    );
    expect(refused).toMatch(/Tensor "n{79}…" in/);
  });

  it("reads at most 200,000 tensors", async () => {
    const header = (count: number): string =>
      `{${Array.from({ length: count }, (_, i) => `"${i}":{"dtype":"U8","shape":[],"data_offsets":[${i},${i + 1}]}`).join()}}`;
    const { tensors } = await read(header(200_000), new Uint8Array(200_000));
    expect(tensors).toHaveLength(200_000);
    await expect(read(header(200_001), new Uint8Array(200_001))).rejects.toThrow(
      "its header has more than 200000 tensors",
    );
  });

  it("refuses files that cannot hold a header", async () => {
    const length = (bytes: bigint): Uint8Array => new Uint8Array(new BigUint64Array([bytes]).buffer);
    await expect(readRaw("1234567")).rejects.toThrow("it has 7 bytes; expected at least 8");
    await expect(readRaw("")).rejects.toThrow("it has 0 bytes; expected at least 8");
    await expect(readRaw(length(2n ** 64n - 1n))).rejects.toThrow("expected at most 100000000");
    await expect(readRaw(length(100_000_001n))).rejects.toThrow("a header of 100000001 bytes");
    await expect(readRaw(length(10n))).rejects.toThrow("should end at byte 18, but the file has 8 bytes");
    await expect(readSafetensorsHeader("/absent/model.safetensors")).rejects.toMatchObject({
      code: "not-found",
    });
  });

  it("recognises what people take for weights", async () => {
    await expect(readRaw("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")).rejects.toThrow(
      "git lfs pull",
    );
    await expect(readRaw("<!doctype html><html></html>")).rejects.toThrow("looks like a web page");
  });

  it("refuses a real file cut short anywhere", async () => {
    const bytes = readFileSync(join(modelPath("tales"), "model.safetensors"));
    for (const length of [0, 5, 8, 100, 5000, bytes.length - 1]) {
      await expect(readRaw(bytes.subarray(0, length))).rejects.toMatchObject({ code: "invalid-checkpoint" });
    }
    await expect(readRaw(bytes)).resolves.toBeDefined();
  });
});
