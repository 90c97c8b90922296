/** Two files about one thing: config.json beside the checkpoint, as transformers 5 takes them. */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { goldenPath, safetensorsBytes, temporaryDirectory } from "../../test/support/model-files.ts";
import { findTensor } from "../runtime/checkpoint/checkpoint.ts";
import { loadModel } from "./model.ts";
import { openModel } from "./open-model.ts";

type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;

interface Change {
  /** Tensors that are added: their bytes, and the type and shape that they are said to have. */
  readonly tensors?: Readonly<Record<string, { bytes: Uint8Array; dtype: string; shape: number[] }>>;
  readonly config?: Readonly<Record<string, unknown>>;
  /** Tensors that have another name. */
  readonly renamed?: Readonly<Record<string, string>>;
}

/** A copy of a golden model with other tensors beside its own, and other values in its config.json. */
function changed(name: string, { tensors = {}, config = {}, renamed = {} }: Change): string {
  const directory = join(temporaryDirectory(), name);
  cpSync(goldenPath(name), directory, { recursive: true });
  const file = readFileSync(join(directory, "model.safetensors"));
  const headerBytes = Number(file.readBigUInt64LE());
  const header = JSON.parse(file.toString("utf8", 8, 8 + headerBytes)) as Header;
  for (const [from, to] of Object.entries(renamed)) {
    header[to] = header[from];
    delete header[from];
  }
  const parts = [file.subarray(8 + headerBytes)];
  let end = file.length - 8 - headerBytes;
  for (const [tensor, { bytes, dtype, shape }] of Object.entries(tensors)) {
    header[tensor] = { dtype, shape, data_offsets: [end, end + bytes.length] };
    parts.push(Buffer.from(bytes));
    end += bytes.length;
  }
  writeFileSync(join(directory, "model.safetensors"), safetensorsBytes(header, Buffer.concat(parts)));
  const values = JSON.parse(readFileSync(join(directory, "config.json"), "utf8")) as object;
  writeFileSync(join(directory, "config.json"), JSON.stringify({ ...values, ...config }));
  return directory;
}

/** The bytes of a tensor of a golden model. */
function bytesOf(name: string, tensor: string): { bytes: Buffer; dtype: string; shape: number[] } {
  const file = readFileSync(join(goldenPath(name), "model.safetensors"));
  const start = 8 + Number(file.readBigUInt64LE());
  const { dtype, shape, data_offsets } = (JSON.parse(file.toString("utf8", 8, start)) as Header)[tensor];
  return { bytes: file.subarray(start + data_offsets[0], start + data_offsets[1]), dtype, shape };
}

/** The logits after a few tokens; the source of an encoder–decoder has rows of both ends of the vocabulary. */
async function logits(directory: string): Promise<Float32Array> {
  await using model = await loadModel(directory, { device: "cpu", threads: 1 });
  return Float32Array.from((await model.forward([0, 1, model.vocabSize - 1, 2])).logits);
}

const TABLES = { gpt2: "transformer.wte.weight", "smollm3-bf16": "model.embed_tokens.weight" } as const;

describe.each(Object.entries(TABLES))("%s, tied to the embeddings by config.json", (name, table) => {
  const head = bytesOf(name, table);

  test("is tied where the checkpoint has no head, or an equal one", async () => {
    for (const tensors of [undefined, { "lm_head.weight": head }]) {
      const { program, notices } = await openModel(changed(name, { tensors }));
      expect(program.matrices.has("lm_head.weight")).toBe(false);
      expect(notices).toEqual([]);
    }
  });

  test("has the head of its checkpoint where that is another one", async () => {
    const bytes = Buffer.from(head.bytes);
    bytes[bytes.length - 1] ^= 1;
    const tensors = { "lm_head.weight": { ...head, bytes } };
    const { program, notices } = await openModel(changed(name, { tensors }));
    expect(program.matrices.has("lm_head.weight")).toBe(true);
    expect(notices).toEqual([expect.stringContaining('"lm_head.weight" has other values')]);
  });
});

describe("a checkpoint that has one of the tied matrices alone", () => {
  test.each([
    ["gpt2", "transformer.wte.weight", "lm_head.weight"],
    ["smollm3-bf16", "model.embed_tokens.weight", "lm_head.weight"],
    ["bart", "model.shared.weight", "model.decoder.embed_tokens.weight"],
  ])("has it for all of them (%s)", async (name, table, other) => {
    const directory = changed(name, { renamed: { [table]: other } });
    const { program, checkpoint, notices } = await openModel(directory);
    expect(program.matrices.has(other)).toBe(false);
    expect(findTensor(checkpoint, table)).toMatchObject({ name: other });
    expect(notices).toEqual([]);
    expect(await logits(directory)).toEqual(await logits(goldenPath(name)));
  });
});

describe("an encoder–decoder's tables and head", () => {
  const shared = bytesOf("bart", "model.shared.weight");
  // The first and the last rows in each other's place.
  const bytes = Buffer.from(shared.bytes);
  bytes.set(shared.bytes.subarray(-256), 0);
  bytes.set(shared.bytes.subarray(0, 256), bytes.length - 256);
  const own = { ...shared, bytes };

  test("are one where they are equal", async () => {
    const tensors = {
      "model.encoder.embed_tokens.weight": shared,
      "model.decoder.embed_tokens.weight": shared,
      "lm_head.weight": shared,
    };
    const { program, notices } = await openModel(changed("bart", { tensors }));
    expect([...program.matrices.keys()].filter((name) => name in tensors)).toEqual([]);
    expect(notices).toEqual([]);
  });

  test.each(["model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight"])(
    "are used where they are others: %s",
    async (name) => {
      const directory = changed("bart", { tensors: { [name]: own } });
      const { program, notices } = await openModel(directory);
      expect(program.matrices.has(name)).toBe(true);
      expect(notices).toEqual([expect.stringContaining(`"${name}" has other values than the embeddings`)]);
      expect(await logits(directory)).not.toEqual(await logits(goldenPath("bart")));
    },
  );

  test("have the shape that config.json says", async () => {
    const small = { bytes: new Uint8Array(4), dtype: "F32", shape: [1, 1] };
    await expect(logits(changed("bart", { tensors: { "lm_head.weight": small } }))).rejects.toThrow(
      /Tensor "lm_head\.weight" .* has shape \[1, 1\]; expected/,
    );
  });
});

describe("tensors that nothing uses", () => {
  const some = { bytes: new Uint8Array(8), dtype: "F32", shape: [2] };

  test("are told once, the first of them by name", async () => {
    const tensors = { "v_head.a": some, "v_head.b": some, "v_head.c": some, ["x".repeat(100)]: some };
    const { notices } = await openModel(changed("gpt2", { tensors }));
    expect(notices).toHaveLength(1);
    expect(notices[0]).toBe(
      'The model has no use for 4 tensors of the checkpoint: "v_head.a", "v_head.b", "v_head.c", ….',
    );
    const long = await openModel(changed("gpt2", { tensors: { ["x".repeat(100)]: some } }));
    expect(long.notices[0]).toMatch(/for 1 tensor of the checkpoint: "x{79}…"\.$/);
  });

  test("are nothing to tell of where transformers computes them", async () => {
    const tensors = { "transformer.h.0.attn.bias": some, "h.1.attn.masked_bias": some };
    expect((await openModel(changed("gpt2", { tensors }))).notices).toEqual([]);
  });

  test("may have types from after this program; what is needed may not", async () => {
    const tensors = { later: { bytes: new Uint8Array(3), dtype: "F3_E2M0", shape: [8] } };
    expect((await openModel(changed("gpt2", { tensors }))).notices).toEqual([
      'The model has no use for 1 tensor of the checkpoint: "later".',
    ]);
  });
});

describe("what config.json says and nothing needs", () => {
  test("special tokens beyond the vocabulary, and -1", async () => {
    const config = { eos_token_id: [3, -1, 9999], bos_token_id: -1, pad_token_id: 5000 };
    const { config: found, notices } = await openModel(changed("gpt2", { config }));
    expect(found).toMatchObject({ eosTokenIds: [3], bosTokenId: undefined, padTokenId: undefined });
    expect(notices).toEqual([
      expect.stringMatching(
        /"eos_token_id" has 9999, which is beyond the vocabulary of 512 and has no effect\.$/,
      ),
      expect.stringMatching(/"pad_token_id" has 5000/),
    ]);
  });

  test("the class's own special tokens are nobody's mistake", async () => {
    // GPT-2's class has 50256 where the file has none.
    const config = { eos_token_id: undefined, bos_token_id: undefined };
    const { config: found, notices } = await openModel(changed("gpt2", { config }));
    expect(found).toMatchObject({ eosTokenIds: [], bosTokenId: undefined });
    expect(notices).toEqual([]);
  });

  test("architectures in other words", async () => {
    const config = { architectures: ["GPT2Model"] };
    const { notices } = await openModel(changed("gpt2", { config }));
    expect(notices).toEqual([
      expect.stringContaining('"architectures" is ["GPT2Model"]; it is taken for GPT2LMHeadModel'),
    ]);
  });
});
