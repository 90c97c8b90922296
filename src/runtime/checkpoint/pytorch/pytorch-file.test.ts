import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { temporaryFile } from "../../../../test/support/model-files.ts";
import {
  assemble,
  dict,
  global,
  int,
  pickle,
  storage,
  tensor,
  text,
} from "../../../../test/support/pickle.ts";
import { readWhole, tensorBytesByDefinition } from "../../../../test/support/tensor-bytes.ts";
import { archive, byName } from "../../../../test/support/torch-archive.ts";
import { concatenate, zipBytes, type ZipEntry, type ZipOptions } from "../../../../test/support/zip.ts";
import { openCheckpoint, requireTensor } from "../checkpoint.ts";
import { readSafetensorsHeader } from "../safetensors.ts";
import type { TensorLocation } from "../tensor-location.ts";
import { readPytorchFile } from "./pytorch-file.ts";

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../../../test/fixtures/pytorch/${name}`, import.meta.url));

async function twin(name: string): Promise<Map<string, TensorLocation>> {
  return byName(readSafetensorsHeader(fixture(name)).then(({ tensors }) => tensors));
}

function expectEqual(found: TensorLocation | undefined, expected: TensorLocation): void {
  const { name, dtype, shape, byteLength } = expected;
  expect(found, name).toMatchObject({ name, dtype, shape, byteLength });
  const wanted = tensorBytesByDefinition(expected);
  expect(Buffer.compare(tensorBytesByDefinition(found!), wanted), name).toBe(0);
  if (shape.length === 1 || shape.length === 2) {
    expect(Buffer.compare(readWhole(found!), wanted), `${name} by readTensorRows`).toBe(0);
  }
}

const plain = pickle(dict(["a", tensor(storage(), 0, [2, 2], [2, 1])]));

describe("files that torch.save wrote", () => {
  it.each([
    ["dtypes.bin", "dtypes.safetensors"],
    ["dtypes-protocol4.bin", "dtypes.safetensors"],
    ["dtypes-legacy.bin", "dtypes.safetensors"],
    ["dtypes-legacy-protocol4.bin", "dtypes.safetensors"],
    ["untyped.bin", "untyped.safetensors"],
    ["views.bin", "views.safetensors"],
    ["views-legacy.bin", "views.safetensors"],
    ["views-legacy-protocol4.bin", "views.safetensors"],
    ["mixed.bin", "mixed.safetensors"],
  ])("%s has the tensors of its safetensors twin", async (name, twinName) => {
    const found = await byName(readPytorchFile(fixture(name)));
    const expected = await twin(twinName);
    expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [tensorName, tensor] of expected) {
      expectEqual(found.get(tensorName), tensor);
    }
  });

  it.each(["views.bin", "views-legacy.bin"])(
    "locates views in place, with shared bytes (%s)",
    async (name) => {
      const tensors = await byName(readPytorchFile(fixture(name)));
      const base = tensors.get("base")!;
      expect(base.strides).toBeUndefined();
      expect(tensors.get("base.again")).toEqual({ ...base, name: "base.again" });
      expect(tensors.get("transposed")).toMatchObject({
        offset: base.offset,
        shape: [10, 12],
        strides: [1, 10],
      });
      expect(tensors.get("rows")).toMatchObject({ offset: base.offset + 120, byteLength: 160 });
      expect(tensors.get("rows")!.strides).toBeUndefined();
      expect(tensors.get("expanded.row")!.strides).toEqual([0, 1]);
      expect(tensors.get("expanded.scalar")).toMatchObject({ strides: [0, 0], byteLength: 96 });
      expect(tensors.get("scalar")).toMatchObject({ shape: [], byteLength: 4 });
      expect(Object.getPrototypeOf({})).not.toHaveProperty("dtype");
    },
  );

  it("reads shards, each in its own format", async () => {
    const { tensors, files, format } = await openCheckpoint(fixture("sharded"));
    const expected = await twin("views.safetensors");
    expect([files.length, format]).toEqual([2, "pytorch"]);
    expect([...tensors.keys()].sort()).toEqual(
      ["base", "half.transposed", "parameter", "rows", "transposed"].sort(),
    );
    for (const [name, tensor] of tensors) {
      expectEqual(tensor, expected.get(name)!);
    }
  });

  it.each([
    ["refused-negative.bin", "unsupported", /the flags "neg", which change its values/],
    [
      "refused-sparse.bin",
      "unsupported",
      /asks for the Python object "torch\._utils\._rebuild_sparse_tensor"/,
    ],
    ["refused-module.bin", "unsupported", /asks for the Python object "torch\.nn\.modules\.linear\.Linear"/],
    [
      "refused-nested.bin",
      "unsupported",
      /no tensors at its top level, but "state_dict": a dict of 1, "epoch": the number 3;.* state_dict\(\) alone/,
    ],
    ["refused-list.bin", "unsupported", /holds a list of 1; expected a dict of tensors/],
    ["refused-tensor.bin", "unsupported", /holds one tensor without a name/],
  ])("refuses %s", async (name, code, message) => {
    await expect(readPytorchFile(fixture(name))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
  });
});

describe("files that are something else", () => {
  it.each<[string, Uint8Array | string, string, RegExp]>([
    ["nothing", "", "invalid-checkpoint", /has 0 bytes/],
    [
      "a Git LFS pointer",
      "version https://git-lfs.github.com/spec/v1\noid",
      "invalid-checkpoint",
      /git lfs pull/,
    ],
    ["a web page", "<!DOCTYPE html>", "invalid-checkpoint", /web page/],
    [
      "a plain pickle",
      pickle(int(5)),
      "invalid-checkpoint",
      /a pickle of the number 5; expected torch\.save's magic number/,
    ],
    ["a tar file", assemble("\0".repeat(257), "ustar\0", "\0".repeat(600)), "unsupported", /tar file/],
    [
      "a zip file of something else",
      zipBytes([{ name: "x", data: "y" }]),
      "invalid-checkpoint",
      /0 members NAME\/data\.pkl/,
    ],
    [
      "a TorchScript program",
      zipBytes([
        { name: "m/data.pkl", data: plain },
        { name: "m/constants.pkl", data: "" },
      ]),
      "unsupported",
      /TorchScript/,
    ],
  ])("says of %s what is wrong", async (_what, bytes, code, message) => {
    await expect(readPytorchFile(temporaryFile("pytorch_model.bin", bytes))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
  });

  it("says that there is no file", async () => {
    await expect(readPytorchFile(fixture("absent.bin"))).rejects.toMatchObject({ code: "not-found" });
  });
});

describe("zip archives", () => {
  it.each<[string, ZipOptions]>([
    ["plain", {}],
    ["zip64", { zip64: true }],
    ["with a comment", { comment: "PK\x05\x06 and more" }],
  ])("are read: %s", async (_what, options) => {
    const [found, ...others] = await readPytorchFile(archive(plain, [], options));
    expect(others).toEqual([]);
    expect([...new Float32Array(readWhole(found).buffer)]).toEqual([1, 2, 3, 4]);
  });

  it("may say that they are little-endian, and not that they are big-endian", async () => {
    const read = (order: string) =>
      readPytorchFile(archive(plain, [{ name: "model/byteorder", data: order }]));
    await expect(read("little")).resolves.toHaveLength(1);
    await expect(read("big")).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("big-endian") as string,
    });
    await expect(read("middle")).rejects.toThrow('has the byte order "middle"');
  });

  it.each<[string, readonly ZipEntry[], ZipOptions, string, RegExp]>([
    [
      "compressed",
      [{ name: "model/data/0", data: new Uint8Array(16), method: 8 }],
      {},
      "unsupported",
      /"model\/data\/0" .* is compressed/,
    ],
    [
      "encrypted",
      [{ name: "model/data/0", data: new Uint8Array(16), flags: 1 }],
      {},
      "unsupported",
      /is encrypted/,
    ],
    [
      "a compressed pickle",
      [{ name: "model/data.pkl", data: plain, method: 8 }],
      {},
      "unsupported",
      /"model\/data\.pkl" .* is compressed/,
    ],
    [
      "two pickles",
      [{ name: "other/data.pkl", data: plain }],
      {},
      "invalid-checkpoint",
      /2 members NAME\/data\.pkl/,
    ],
    [
      "twice the same member",
      [
        { name: "x", data: "1" },
        { name: "x", data: "2" },
      ],
      {},
      "invalid-checkpoint",
      /the member "x" twice/,
    ],
    [
      "a storage that is too short",
      [{ name: "model/data/0", data: new Uint8Array(15) }],
      {},
      "invalid-checkpoint",
      /of 15 bytes, which its pickle says has 16/,
    ],
    [
      "a header elsewhere",
      [{ name: "model/data/0", data: new Uint8Array(16), headerOffset: 7 }],
      {},
      "invalid-checkpoint",
      /lies over its member "model\/data\/0"|lies over its member "model\/data\.pkl"/,
    ],
    [
      "a member that lies in another",
      [
        { name: "model/data/0", data: new Uint8Array(16) },
        { name: "x", data: new Uint8Array(4), headerOffset: 0 },
      ],
      {},
      "invalid-checkpoint",
      /lies over its member/,
    ],
    [
      "bytes that are not those of the checksum",
      [{ name: "model/byteorder", data: "little", checksum: 1 }],
      {},
      "invalid-checkpoint",
      /"model\/byteorder" has the checksum [0-9a-f]{8}, and should have 00000001: it is damaged/,
    ],
    [
      "a name in the member's own header that is another",
      [{ name: "model/data/0", data: new Uint8Array(16), local: { name: "model/data/1" } }],
      {},
      "invalid-checkpoint",
      /"model\/data\/0" has another name in its own header/,
    ],
    [
      "a checksum in the member's own header that is another",
      [{ name: "model/data/0", data: new Uint8Array(16), local: { checksum: 5 } }],
      {},
      "invalid-checkpoint",
      /another checksum in its own header/,
    ],
    [
      "a size in the member's own header that is another",
      [{ name: "model/data/0", data: new Uint8Array(16), local: { size: 17 } }],
      {},
      "invalid-checkpoint",
      /another size in its own header/,
    ],
    [
      "a header beyond the end",
      [{ name: "model/data/0", data: new Uint8Array(16), headerOffset: 2 ** 31 }],
      {},
      "invalid-checkpoint",
      /should begin at byte 2147483648/,
    ],
    [
      "zip64 beyond 2^53",
      [{ name: "model/data/0", data: new Uint8Array(16), headerOffset: 2 ** 62 }],
      { zip64: true },
      "invalid-checkpoint",
      /should begin at byte 46/,
    ],
    ["too many entries", [], { end: { entries: 3 } }, "invalid-checkpoint", /fewer members than/],
    [
      "a million entries",
      [],
      { end: { entries: 1e6 }, zip64: true },
      "invalid-checkpoint",
      /1000000 members/,
    ],
    [
      "a directory beyond the end",
      [],
      { end: { directoryOffset: 1e6 } },
      "invalid-checkpoint",
      /directory should be bytes 1000000 to/,
    ],
    ["several parts", [], { end: { disk: 1 } }, "unsupported", /several parts/],
  ])("are refused: %s", async (_what, entries, options, code, message) => {
    await expect(readPytorchFile(archive(plain, entries, options))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
  });

  it("may be without checksums, as torch.serialization.set_crc32_options(False) leaves them", async () => {
    const bytes = zipBytes([
      { name: "model/data.pkl", data: plain, checksum: 0 },
      { name: "model/byteorder", data: "little", checksum: 0 },
      { name: "model/data/0", data: new Uint8Array(new Float32Array([1, 2, 3, 4]).buffer), checksum: 0 },
    ]);
    const [found] = await readPytorchFile(temporaryFile("pytorch_model.bin", bytes));
    expect([...new Float32Array(readWhole(found).buffer)]).toEqual([1, 2, 3, 4]);
  });

  it("name the storage that is not there, and ask for none that no tensor has", async () => {
    const missing = dict(["a", tensor(storage({ key: "../7" }), 0, [4], [1])]);
    await expect(readPytorchFile(archive(pickle(missing)))).rejects.toThrow(
      /lacks the member "model\/data\/\.\.\/7"/,
    );
    const unused = dict(["a", storage({ key: "7" })], ["b", tensor(storage(), 0, [4], [1])]);
    await expect(readPytorchFile(archive(pickle(unused)))).resolves.toHaveLength(1);
  });
});

describe("complex numbers", () => {
  it.each([
    ["ComplexFloatStorage", "C64", 2],
    ["ComplexDoubleStorage", "C128", 1],
  ])(
    "are no fault beside weights, and one that a weight needs is named (%s)",
    async (type, dtype, elements) => {
      const complex = storage({ key: "1", type: global("torch", type), elements });
      const content = pickle(
        dict(["a", tensor(storage(), 0, [2, 2], [2, 1])], ["freqs_cis", tensor(complex, 0, [elements], [1])]),
      );
      const path = archive(content, [{ name: "model/data/1", data: new Uint8Array(16) }]);
      const checkpoint = await openCheckpoint(dirname(path));
      expect(requireTensor(checkpoint, "a", [2, 2])).toMatchObject({ dtype: "F32" });
      expect(checkpoint.tensors.get("freqs_cis")).toMatchObject({ dtype, byteLength: 16 });
      expect(() => requireTensor(checkpoint, "freqs_cis", [elements])).toThrow(
        `Tensor "freqs_cis" in "${path}" has dtype ${dtype}; supported are F32, F16 and BF16.`,
      );
    },
  );
});

describe("legacy streams", () => {
  const bytes = new Uint8Array(readFileSync(fixture("views-legacy.bin")));
  const read = (content: Uint8Array) => readPytorchFile(temporaryFile("pytorch_model.bin", content));

  it("end where their storages do", async () => {
    await expect(read(concatenate([bytes, Uint8Array.of(1, 2, 3)]))).resolves.toHaveLength(32);
    await expect(read(bytes.subarray(0, -1))).rejects.toMatchObject({
      code: "invalid-checkpoint",
      message: expect.stringMatching(
        /should have the storage "\d+" in bytes \d+ to 4430, but has 4429 bytes/,
      ) as string,
    });
    await expect(read(bytes.subarray(0, 900))).rejects.toThrow(/is cut off at byte 900/);
  });

  it("are read however long their pickles are", async () => {
    // One comment that is no tensor is longer than the first part of the file that is read.
    const magic = bytes.subarray(0, 15);
    const rest = [pickle("M", 0xe9, 3), pickle("}")];
    const long = dict(["comment", text("x".repeat(700_000))], ["a", tensor(storage(), 0, [4], [1])]);
    const keys = pickle("]", text("0"), "a");
    const data = new Uint8Array(new BigInt64Array([4n]).buffer);
    const values = new Uint8Array(new Float32Array([1, 2, 3, 4]).buffer);
    const make = (...tail: readonly Uint8Array[]): Uint8Array =>
      concatenate([magic, ...rest, pickle(long), ...tail]);
    const [found] = await read(make(keys, data, values));
    expect([...new Float32Array(readWhole(found).buffer)]).toEqual([1, 2, 3, 4]);

    await expect(read(make(pickle("]"), data, values))).rejects.toThrow('has no bytes for the storage "0"');
    await expect(read(make(pickle("]", text("1"), "a"), data, values))).rejects.toThrow(
      'lists the storage "1" that its pickle does not have',
    );
    await expect(read(make(pickle("]", text("0"), "a", text("0"), "a"), data, values))).rejects.toThrow(
      'lists the storage "0" twice',
    );
    await expect(read(make(pickle(int(3)), data, values))).rejects.toThrow(
      "lists its storages as the number 3",
    );
    const five = new Uint8Array(new BigInt64Array([5n]).buffer);
    await expect(read(make(keys, five, values))).rejects.toThrow(
      'has 5 elements in the storage "0", which its pickle says has 4',
    );
  });
});
