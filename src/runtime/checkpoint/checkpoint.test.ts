import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenPath, safetensorsBytes, temporaryDirectory } from "../../../test/support/model-files.ts";
import { missingWeightFiles, openCheckpoint, requireTensor, withBasePrefix } from "./checkpoint.ts";
import { openFile } from "../platform/files.ts";

/** A safetensors file of one-byte tensors with these names. */
function shard(...names: string[]): Uint8Array {
  const entries = names.map((name, i) => [name, { dtype: "U8", shape: [1], data_offsets: [i, i + 1] }]);
  return safetensorsBytes(Object.fromEntries(entries) as object, new Uint8Array(names.length));
}

function directoryWith(files: Record<string, Uint8Array | string | object>): string {
  const directory = temporaryDirectory();
  for (const [name, content] of Object.entries(files)) {
    const isRaw = typeof content === "string" || content instanceof Uint8Array;
    writeFileSync(join(directory, name), isRaw ? content : JSON.stringify(content));
  }
  return directory;
}

const LEGACY_BIN = join(goldenPath("gpt2-bin-legacy"), "pytorch_model.bin");

const index = (weightMap: unknown): object => ({ metadata: {}, weight_map: weightMap });

describe("openCheckpoint", () => {
  it("sees the same tensors in one file and in shards", async () => {
    const single = await openCheckpoint(goldenPath("smollm3"));
    const sharded = await openCheckpoint(goldenPath("smollm3-sharded"));
    expect(single.files).toHaveLength(1);
    expect(sharded.files).toHaveLength(3);
    expect(sharded.totalBytes).toBe(single.totalBytes);
    expect(single.totalBytes).toBe(1_544_448);
    expect([...sharded.tensors.keys()].sort()).toEqual([...single.tensors.keys()].sort());
    for (const [name, a] of single.tensors) {
      const b = sharded.tensors.get(name)!;
      expect([b.dtype, b.shape]).toEqual([a.dtype, a.shape]);
      const [bytesOfA, bytesOfB] = [a, b].map(({ file, offset, byteLength }) => {
        const bytes = new Uint8Array(byteLength);
        const open = openFile(file);
        open.read(bytes, offset);
        open.close();
        return bytes;
      });
      expect(Buffer.compare(bytesOfA, bytesOfB), name).toBe(0);
    }
  });

  it("prefers the single file, as transformers does", async () => {
    const directory = directoryWith({
      "model.safetensors": shard("a"),
      "model.safetensors.index.json": index({ a: "gone.safetensors" }),
    });
    expect((await openCheckpoint(directory)).files).toEqual([join(directory, "model.safetensors")]);
  });

  it("prefers safetensors to PyTorch's format, and one file to shards", async () => {
    const candidates = [
      ["model.safetensors", shard("a"), "model.safetensors"],
      ["model.safetensors.index.json", index({ a: "1.safetensors" }), "1.safetensors"],
      ["pytorch_model.bin", readFileSync(LEGACY_BIN), "pytorch_model.bin"],
      ["pytorch_model.bin.index.json", index({ a: "gone.bin" }), "gone.bin"],
    ] as const;
    for (const [i, [, , weights]] of candidates.slice(0, 3).entries()) {
      const directory = directoryWith({
        ...Object.fromEntries(candidates.slice(i).map(([name, content]) => [name, content])),
        "1.safetensors": shard("a"),
      });
      const checkpoint = await openCheckpoint(directory);
      expect(checkpoint.files).toEqual([join(directory, weights)]);
      expect(checkpoint.format).toBe(i < 2 ? "safetensors" : "pytorch");
      expect(await missingWeightFiles(directory)).toEqual([]);
    }
    const directory = directoryWith({ [candidates[3][0]]: candidates[3][1] });
    expect(await missingWeightFiles(directory)).toEqual(["gone.bin"]);
    await expect(openCheckpoint(directory)).rejects.toThrow(
      /1 of 1 .* "[^"]*pytorch_model\.bin\.index\.json" are missing: gone\.bin/,
    );
  });

  it("names the shards that are missing", async () => {
    const directory = temporaryDirectory();
    cpSync(goldenPath("smollm3-sharded"), directory, { recursive: true });
    rmSync(join(directory, "model-00002-of-00003.safetensors"));
    await expect(openCheckpoint(directory)).rejects.toMatchObject({
      code: "invalid-checkpoint",
      message: expect.stringMatching(
        /1 of 3 weight files .* missing: model-00002-of-00003\.safetensors\./,
      ) as string,
    });
    expect(await missingWeightFiles(directory)).toEqual(["model-00002-of-00003.safetensors"]);
  });

  it("names tensors that are not where the index says", async () => {
    const map = { a: "1.safetensors", b: "2.safetensors" };
    const open = (one: Uint8Array, two: Uint8Array) =>
      openCheckpoint(
        directoryWith({
          "1.safetensors": one,
          "2.safetensors": two,
          "model.safetensors.index.json": index(map),
        }),
      );
    await expect(open(shard("a"), shard("b"))).resolves.toMatchObject({ totalBytes: 2 });
    expect((await open(shard("a"), shard("c"))).notices).toEqual([
      expect.stringMatching(
        /tensor "b" is in "2\.safetensors", but it is in no weight file \(1 such in all\)/,
      ),
    ]);
    const elsewhere = await open(shard("a", "b"), shard());
    expect(elsewhere.notices).toEqual([
      expect.stringMatching(
        /tensor "b" is in "2\.safetensors", but it is in "1\.safetensors" \(1 such in all\)/,
      ),
    ]);
    expect(elsewhere.tensors.get("b")?.file).toMatch(/1\.safetensors$/);
  });

  it("takes a tensor that two files have where it is the same, and refuses two that differ", async () => {
    const open = (one: Uint8Array, two: Uint8Array) =>
      openCheckpoint(
        directoryWith({
          "1.safetensors": one,
          "2.safetensors": two,
          "model.safetensors.index.json": index({ a: "1.safetensors", b: "2.safetensors" }),
        }),
      );
    const same = await open(shard("a", "b"), shard("b"));
    expect(same.notices[0]).toMatch(/have the same tensor, as "b" \(1 in all\)/);
    const other = shard("b");
    other[other.length - 1] ^= 1;
    await expect(open(shard("a", "b"), other)).rejects.toThrow(
      /Tensor "b" is in two weight files, .*, and they differ/,
    );
  });

  it("takes shards of the index's own format only", async () => {
    const directory = directoryWith({ "pytorch_model.bin.index.json": index({ a: "1.safetensors" }) });
    await expect(openCheckpoint(directory)).rejects.toThrow("expected the name of a .bin file");
  });

  it.each<[string, unknown]>([
    ["../model.safetensors", "expected the name of a .safetensors file in the same directory"],
    ["/etc/model.safetensors", "expected the name"],
    ["..\\model.safetensors", "expected the name"],
    ["C:model.safetensors", "expected the name"],
    ["model.bin", "expected the name"],
    [".safetensors", "expected the name"],
  ])("refuses the shard name %j", async (name, message) => {
    const directory = directoryWith({ "model.safetensors.index.json": index({ a: name }) });
    await expect(openCheckpoint(directory)).rejects.toMatchObject({
      code: "invalid-checkpoint",
      message: expect.stringContaining(String(message)) as string,
    });
  });

  it.each([
    ["no object", index([1]), '"weight_map" is [1]'],
    ["nothing", { metadata: {} }, '"weight_map" is nothing'],
    ["empty", index({}), '"weight_map" is {}'],
    ["of numbers", index({ a: 3 }), 'gives tensor "a" 3; expected a file name'],
    ["damaged", "{", "cannot be parsed as JSON"],
  ])("refuses a weight map that is %s", async (_what, content, message) => {
    const directory = directoryWith({ "model.safetensors.index.json": content });
    await expect(openCheckpoint(directory)).rejects.toMatchObject({
      code: "invalid-checkpoint",
      message: expect.stringContaining(message) as string,
    });
  });

  it("says what it looked for when there are no weights, and names other formats", async () => {
    await expect(openCheckpoint(directoryWith({ "config.json": "{}" }))).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining(
        "looked for model.safetensors, model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json.",
      ) as string,
    });
    await expect(openCheckpoint(directoryWith({ "model.gguf": "" }))).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("only as model.gguf, which is not supported for now") as string,
    });
    await expect(openCheckpoint(join(temporaryDirectory(), "absent"))).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining("does not exist") as string,
    });
  });
});

describe("requireTensor", () => {
  it("gives the location of a tensor of that name and shape", async () => {
    const checkpoint = await openCheckpoint(goldenPath("smollm3-f16"));
    expect(requireTensor(checkpoint, "model.embed_tokens.weight", [512, 64]).dtype).toBe("F16");
  });

  it("names the nearest tensors when there is none", async () => {
    const checkpoint = await openCheckpoint(goldenPath("smollm3"));
    expect(() => requireTensor(checkpoint, "norm.weight", [64])).toThrow(
      /"norm\.weight" of shape \[64\] is not in the checkpoint .* \(74 tensors, the nearest: "model\.norm\.weight"/,
    );
  });

  it("compares shapes", async () => {
    const checkpoint = await openCheckpoint(goldenPath("smollm3"));
    for (const shape of [[64, 512], [512], [512, 64, 1]]) {
      expect(() => requireTensor(checkpoint, "model.embed_tokens.weight", shape)).toThrow(
        `has shape [512, 64]; expected [${shape.join(", ")}]`,
      );
    }
  });

  it("refuses element types that no kernel reads", async () => {
    const checkpoint = await openCheckpoint(directoryWith({ "model.safetensors": shard("a") }));
    expect(() => requireTensor(checkpoint, "a", [1])).toThrow(
      expect.objectContaining({
        code: "unsupported",
        message: expect.stringContaining("has dtype U8; supported are F32, F16 and BF16") as string,
      }),
    );
  });
});

describe("requireTensor of vectors", () => {
  it("takes [1, n] for [n], as BART stores its final_logits_bias", async () => {
    const checkpoint = await openCheckpoint(goldenPath("blenderbot-bin"));
    const { tensors } = checkpoint;
    expect(tensors.get("final_logits_bias")!.shape).toEqual([1, 96]);
    expect(requireTensor(checkpoint, "final_logits_bias", [96])).toEqual({
      ...tensors.get("final_logits_bias"),
      shape: [96],
    });
    expect(requireTensor(checkpoint, "final_logits_bias", [1, 96]).shape).toEqual([1, 96]);
    expect(() => requireTensor(checkpoint, "final_logits_bias", [95])).toThrow(
      "has shape [1, 96]; expected [95]",
    );
  });

  it("keeps the stride of a [1, n] that has one", async () => {
    const checkpoint = await openCheckpoint(goldenPath("blenderbot-bin"));
    const bias = { ...checkpoint.tensors.get("final_logits_bias")!, shape: [1, 48], strides: [96, 2] };
    const tensors = new Map([["bias", { ...bias, byteLength: 192 }]]);
    expect(requireTensor({ ...checkpoint, tensors }, "bias", [48])).toMatchObject({
      shape: [48],
      strides: [2],
    });
  });
});

describe("withBasePrefix", () => {
  it.each(["transformer", "transformer."])("finds names whether or not the file has %j", async (prefix) => {
    const bytes = safetensorsBytes(
      {
        "transformer.ln_f.weight": { dtype: "F32", shape: [1], data_offsets: [0, 4] },
        "wte.weight": { dtype: "F32", shape: [1], data_offsets: [4, 8] },
        both: { dtype: "F32", shape: [1], data_offsets: [8, 12] },
        "transformer.both": { dtype: "F32", shape: [1], data_offsets: [12, 16] },
      },
      new Uint8Array(16),
    );
    const bare = await openCheckpoint(directoryWith({ "model.safetensors": bytes }));
    const checkpoint = withBasePrefix(bare, prefix);
    const find = (name: string): string => requireTensor(checkpoint, name, [1]).name;
    expect(find("transformer.ln_f.weight")).toBe("transformer.ln_f.weight");
    expect(find("transformer.wte.weight")).toBe("wte.weight");
    expect(find("ln_f.weight")).toBe("transformer.ln_f.weight");
    expect([find("both"), find("transformer.both")]).toEqual(["both", "transformer.both"]);
    expect(() => find("transformer.wte.bias")).toThrow(
      /"transformer\.wte\.bias" .* the nearest: .*"transformer\.both".*\)/,
    );
    expect(() => requireTensor(bare, "transformer.wte.weight", [1])).toThrow("is not in the checkpoint");
    expect(checkpoint.tensors).toBe(bare.tensors);
  });

  it("finds names under other prefixes, the first that the file has", async () => {
    const names = [
      "language_model.model.norm.weight",
      "language_model.lm_head.weight",
      "model.text.wte.weight",
    ];
    const tensors = names.map((name, i) => [
      name,
      { dtype: "F32", shape: [1], data_offsets: [4 * i, 4 * i + 4] },
    ]);
    const bytes = safetensorsBytes(Object.fromEntries(tensors) as never, new Uint8Array(12));
    const bare = await openCheckpoint(directoryWith({ "model.safetensors": bytes }));
    const checkpoint = withBasePrefix(bare, "model.", [
      ["", "language_model."],
      ["model.", "model.text."],
    ]);
    const find = (name: string): string => requireTensor(checkpoint, name, [1]).name;
    expect(find("model.norm.weight")).toBe("language_model.model.norm.weight");
    expect(find("lm_head.weight")).toBe("language_model.lm_head.weight");
    expect(find("model.wte.weight")).toBe("model.text.wte.weight");
    expect(() => find("model.ln.weight")).toThrow('"model.ln.weight" of shape [1] is not in the checkpoint');
  });
});
