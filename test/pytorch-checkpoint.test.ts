/** PyTorch checkpoints of whole models against their safetensors twins, and against damage. */
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadModel, type LoadOptions } from "../src/index.ts";
import { openCheckpoint, requireTensor, withBasePrefix } from "../src/runtime/checkpoint/checkpoint.ts";
import { ModelComposeError } from "../src/base/errors.ts";
import { readPytorchFile } from "../src/runtime/checkpoint/pytorch/pytorch-file.ts";
import { bytesPerElement } from "../src/runtime/checkpoint/tensor-location.ts";
import { vectorValues } from "../src/runtime/checkpoint/vector-values.ts";
import { goldenPath, temporaryDirectory } from "./support/model-files.ts";
import { dict, global, pickle, storage, tensor } from "./support/pickle.ts";
import { readWhole } from "./support/tensor-bytes.ts";
import { zipBytes, type ZipEntry } from "./support/zip.ts";

describe("golden models as pytorch_model.bin", () => {
  it.each([
    ["gpt2-bin-legacy", "gpt2-tiny", "transformer.h.0.attn.c_proj.weight"],
    ["blenderbot-bin", "blenderbot-tiny", "model.decoder.embed_positions.weight"],
  ])("%s has the weights of %s", async (name, twin, transposed) => {
    const [pytorch, safetensors] = await Promise.all([name, twin].map((n) => openCheckpoint(goldenPath(n))));
    expect(pytorch.format).toBe("pytorch");
    expect(safetensors.format).toBe("safetensors");
    const strided = [...pytorch.tensors.values()].filter(({ strides }) => strides !== undefined);
    expect(strided.map((tensor) => tensor.name)).toEqual([transposed]);
    for (const { name: tensorName, shape } of safetensors.tensors.values()) {
      const [written, hashed] = [pytorch, safetensors].map((checkpoint) => {
        const tensor = requireTensor(checkpoint, tensorName, shape);
        return [tensor.dtype, Buffer.from(vectorValues(tensor, readWhole(tensor)).buffer)] as const;
      });
      expect([written[0], hashed[0]], tensorName).toEqual(["F32", "F32"]);
      expect(written[1].equals(hashed[1]), tensorName).toBe(true);
    }
  });

  it("has GPT-2's tied head as the same bytes under a second name", async () => {
    const { tensors } = await openCheckpoint(goldenPath("gpt2-bin-legacy"));
    const table = tensors.get("transformer.wte.weight")!;
    expect(tensors.get("lm_head.weight")).toEqual({ ...table, name: "lm_head.weight" });
  });

  it("is found without its prefix, as older hub files have it", async () => {
    const checkpoint = await openCheckpoint(goldenPath("gpt2-bin-legacy"));
    const tensor = requireTensor(withBasePrefix(checkpoint, "transformer"), "h.0.ln_1.weight", [16]);
    expect(tensor.name).toBe("transformer.h.0.ln_1.weight");
  });
});

describe("checksums of weights", () => {
  /** GPT-2's golden model as torch.save writes it, with a wrong checksum for one of the tensors. */
  async function gpt2WithWrongChecksum(wrong?: string): Promise<string> {
    const directory = temporaryDirectory();
    cpSync(goldenPath("gpt2"), directory, { recursive: true });
    const { tensors } = await openCheckpoint(directory);
    const entries: [string, Uint8Array][] = [];
    const members: ZipEntry[] = [];
    for (const [key, location] of [...tensors.values()].entries()) {
      const { name, dtype, shape, byteLength } = location;
      const strides = shape.map((_size, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
      const bytes = readWhole(location);
      const type = global("torch", dtype === "BF16" ? "BFloat16Storage" : "FloatStorage");
      const elements = byteLength / bytesPerElement(dtype);
      entries.push([name, tensor(storage({ type, key: `${key}`, elements }), 0, shape, strides)]);
      members.push({
        name: `gpt2/data/${key}`,
        data: bytes,
        ...(name === wrong ? { checksum: 1 } : {}),
      });
    }
    const content = zipBytes([{ name: "gpt2/data.pkl", data: pickle(dict(...entries)) }, ...members]);
    rmSync(join(directory, "model.safetensors"));
    writeFileSync(join(directory, "pytorch_model.bin"), content);
    return directory;
  }

  const load = async (directory: string, options: LoadOptions = {}): Promise<void> => {
    const model = await loadModel(directory, { device: "cpu", threads: 2, ...options });
    await model.dispose();
  };

  it("are right in a sound file", async () => {
    await load(await gpt2WithWrongChecksum());
  });

  it.each([
    "transformer.wte.weight",
    "transformer.wpe.weight",
    // In the file transposed, and three matrices of the model.
    "transformer.h.0.attn.c_attn.weight",
    "transformer.h.0.mlp.c_proj.weight",
    "transformer.h.0.attn.c_attn.bias",
    "transformer.ln_f.bias",
  ])("that are wrong end the loading: %s", async (name) => {
    const directory = await gpt2WithWrongChecksum(name);
    for (const options of [{}, { quantization: "int8" }] as const) {
      await expect(load(directory, options)).rejects.toMatchObject({
        code: "invalid-checkpoint",
        message: expect.stringMatching(
          RegExp(`^Tensor "${name}" in .* has the checksum [0-9a-f]{8}, and should have 00000001`),
        ) as string,
      });
    }
  });
});

/** Expects tensors that lie within the file, or one of our errors, whatever the bytes are. */
async function expectTensorsOrError(path: string, bytes: Uint8Array): Promise<"tensors" | "error"> {
  writeFileSync(path, bytes);
  try {
    for (const { dtype, shape, strides, offset, byteLength } of await readPytorchFile(path)) {
      const size = bytesPerElement(dtype);
      expect(byteLength).toBe(shape.reduce((a, b) => a * b, size));
      const last = strides?.reduce((sum, stride, axis) => sum + (shape[axis] - 1) * stride, 0);
      const end = offset + (last === undefined ? byteLength : (last + 1) * size);
      expect(end).toBeLessThanOrEqual(bytes.length);
    }
    return "tensors";
  } catch (error) {
    if (!(error instanceof ModelComposeError)) {
      throw error;
    }
    expect(["invalid-checkpoint", "unsupported"]).toContain(error.code);
    expect(error.message.length).toBeLessThan(4000);
    return "error";
  }
}

interface Mutation {
  at: number;
  bytes: Uint8Array;
  kind: "overwrite" | "insert" | "remove" | "cut";
}

/** Changes of a file; `at` counts from the start, or back from the end, of what a reader looks at. */
const mutation: fc.Arbitrary<Mutation> = fc.record({
  at: fc.oneof(fc.integer({ min: 0, max: 20_000 }), fc.integer({ min: -12_000, max: -1 })),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 6 }),
  kind: fc.constantFrom("overwrite", "overwrite", "overwrite", "insert", "remove", "cut"),
});

function mutate(original: Uint8Array, mutations: readonly Mutation[]): Uint8Array {
  let bytes = Buffer.from(original);
  for (const { at, bytes: patch, kind } of mutations) {
    const position = Math.min(Math.max(at < 0 ? bytes.length + at : at, 0), bytes.length);
    const before = bytes.subarray(0, position);
    const after = bytes.subarray(position);
    if (kind === "overwrite") {
      bytes.set(patch.subarray(0, after.length), position);
    } else if (kind === "insert") {
      bytes = Buffer.concat([before, patch, after]);
    } else if (kind === "remove") {
      bytes = Buffer.concat([before, after.subarray(patch.length)]);
    } else {
      bytes = Buffer.from(before);
    }
  }
  return bytes;
}

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/pytorch/${name}`, import.meta.url));

describe("damaged and hostile files", () => {
  it.each([
    ["gpt2-bin-legacy", join(goldenPath("gpt2-bin-legacy"), "pytorch_model.bin"), 150],
    ["blenderbot-bin", join(goldenPath("blenderbot-bin"), "pytorch_model.bin"), 150],
    ["views.bin", fixture("views.bin"), 500],
    ["views-legacy-protocol4.bin", fixture("views-legacy-protocol4.bin"), 500],
    ["untyped.bin", fixture("untyped.bin"), 500],
  ])(
    "give one of our errors, or tensors within the file, whatever is changed in %s",
    async (_name, source, numRuns) => {
      const original = new Uint8Array(readFileSync(source));
      const path = join(temporaryDirectory(), "pytorch_model.bin");
      const outcomes = { tensors: 0, error: 0 };
      await fc.assert(
        fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 3 }), async (mutations) => {
          outcomes[await expectTensorsOrError(path, mutate(original, mutations))]++;
        }),
        { numRuns },
      );
      expect(outcomes.error).toBeGreaterThan(numRuns / 10);
    },
  );

  it.each([
    ["a pickle", [0x80, 2]],
    ["a legacy stream", [...readFileSync(fixture("views-legacy.bin")).subarray(0, 137)]],
    ["a zip file", [0x50, 0x4b, 3, 4]],
    ["anything", []],
  ])("of random bytes that begin as %s give one of our errors", async (_what, start) => {
    const path = join(temporaryDirectory(), "pytorch_model.bin");
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (rest) => {
        expect(await expectTensorsOrError(path, Uint8Array.of(...start, ...rest))).toBe("error");
      }),
      { numRuns: 300 },
    );
  });

  it("are refused at every length that a broken download may have", async () => {
    for (const name of ["views.bin", "views-legacy.bin"]) {
      const bytes = readFileSync(fixture(name));
      const path = join(temporaryDirectory(), "pytorch_model.bin");
      for (let length = 0; length < bytes.length; length += 13) {
        expect(await expectTensorsOrError(path, bytes.subarray(0, length)), `${name} ${length}`).toBe(
          "error",
        );
      }
    }
  });
});
