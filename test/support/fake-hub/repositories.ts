/** Files of small models, as repositories on the hub have them. */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

type Files = Record<string, Uint8Array>;

const tales = resolve(import.meta.dirname, "../../../models/tales");

/** The files of the bundled model, which runs. */
export function talesFiles(): Files {
  return Object.fromEntries(
    readdirSync(tales)
      .filter((name) => name !== "README.md")
      .map((name) => [name, new Uint8Array(readFileSync(join(tales, name)))]),
  );
}

/**
 * The files of a model in two shards whose configuration is of a supported family, with what repositories have besides:
 * other formats and files that no model needs. The weights are noise.
 */
export function shardedFiles(shardBytes = 300_000): Files {
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  const files = talesFiles();
  return {
    ".gitattributes": text("*.safetensors filter=lfs\n"),
    "README.md": text("# A model\n"),
    "config.json": files["config.json"],
    "generation_config.json": files["generation_config.json"],
    "tokenizer.json": text('{"model": {"type": "BPE"}}'),
    "tokenizer_config.json": text("{}"),
    "vocab.json": text("{}"),
    "merges.txt": text("#version: 0.2\n"),
    "model.safetensors.index.json": text(
      JSON.stringify({
        weight_map: {
          a: "model-00001-of-00002.safetensors",
          b: "model-00002-of-00002.safetensors",
          c: "model-00001-of-00002.safetensors",
        },
      }),
    ),
    "model-00001-of-00002.safetensors": noise(shardBytes, 1),
    "model-00002-of-00002.safetensors": noise(shardBytes, 2),
    "pytorch_model.bin": noise(1000, 3),
    "model.onnx": noise(1000, 4),
  };
}

/** The names of its files that are fetched. */
export const SHARDED_NEEDED = [
  "config.json",
  "generation_config.json",
  "model-00001-of-00002.safetensors",
  "model-00002-of-00002.safetensors",
  "model.safetensors.index.json",
  "tokenizer.json",
  "tokenizer_config.json",
];

/** Bytes that are the same for the same seed (xorshift32; Marsaglia 2003). */
export function noise(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}
