/** Which files of a repository a use needs, and what an index may name. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryDirectory } from "../../../test/support/model-files.ts";
import { contentHash } from "./api.ts";
import { neededFiles, refuseLongFiles, shardsOfIndex } from "./needed-files.ts";
import { checkRepositoryId, checkRevision, isCommit } from "./repository.ts";

const all = new Set([
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "vocab.json",
  "merges.txt",
  "model.safetensors",
  "pytorch_model.bin",
  "quantize_config.json",
  "README.md",
]);
const without = (...names: readonly string[]): Set<string> =>
  new Set([...all].filter((name) => !names.includes(name)));

describe("of a repository", () => {
  test("a model needs its weights in one format, and one form of its tokenizer", () => {
    const { small, weights, absent } = neededFiles(all, "model", "a/b");
    expect([...small].sort()).toEqual([
      "config.json",
      "generation_config.json",
      "quantize_config.json",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    expect(weights).toMatchObject({ file: "model.safetensors", isIndex: false });
    expect(absent).toContain("chat_template.jinja");
    expect(absent).not.toContain("vocab.json");
  });

  test("a model without tokenizer.json needs the files that it is made from", () => {
    const { small, absent } = neededFiles(without("tokenizer.json", "merges.txt"), "model", "a/b");
    expect(small).toContain("vocab.json");
    expect(absent).toEqual(expect.arrayContaining(["tokenizer.json", "merges.txt"]));
  });

  test("an index is one of the small files", () => {
    const names = without("model.safetensors").add("model.safetensors.index.json");
    const { small, weights } = neededFiles(names, "model", "a/b");
    expect(weights).toMatchObject({ file: "model.safetensors.index.json", isIndex: true });
    expect(small).toContain("model.safetensors.index.json");
  });

  test("a tokenizer needs neither weights nor what tells of them, and no config.json", () => {
    const found = neededFiles(without("config.json"), "tokenizer", "a/b");
    expect([...found.small].sort()).toEqual([
      "generation_config.json",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    expect(found.weights).toBeUndefined();
  });

  test("a configuration needs no tokenizer", () => {
    const found = neededFiles(without("tokenizer.json"), "config", "a/b");
    expect([...found.small].sort()).toEqual([
      "config.json",
      "generation_config.json",
      "quantize_config.json",
    ]);
    expect(found).toMatchObject({ absent: [] });
    expect(found.weights).toBeUndefined();
  });

  test.each<[string, ReadonlySet<string>, string, RegExp]>([
    ["no config.json", without("config.json"), "config", /^"a\/b" has no config\.json: it is no model/],
    ["only GGUF", new Set(["a.gguf"]), "model", /has no config\.json, only GGUF files: it is no model/],
    ["no weights", new Set(["config.json"]), "model", /looked for model\.safetensors, .*; found none\./],
    [
      "weights of other formats",
      new Set(["config.json", "x.onnx", "tf_model.h5", "flax.msgpack", "y.gguf", "README.md"]),
      "model",
      /found x\.onnx, tf_model\.h5, flax\.msgpack\. Use a repository/,
    ],
  ])("%s is told", (_what, names, requires, message) => {
    expect(() => neededFiles(names, requires as "model", "a/b")).toThrow(
      expect.objectContaining({
        code: "unsupported",
        message: expect.stringMatching(message) as string,
      }),
    );
  });

  test.each([
    ["config.json", 4],
    ["generation_config.json", 4],
    ["tokenizer.json", 64],
    ["vocab.json", 64],
    ["added_tokens.json", 64],
    ["model.safetensors.index.json", 64],
    ["chat_template.jinja", 4],
  ])("%s has at most %d MiB", (name, most) => {
    const check = (size: number): void => refuseLongFiles(new Map([[name, { size }]]), [name, "none"], "a/b");
    expect(() => check(most * 2 ** 20)).not.toThrow();
    expect(() => check(most * 2 ** 20 + 1)).toThrow(`"${name}" of "a/b" has ${most * 2 ** 20 + 1} bytes`);
  });
});

describe("an index", () => {
  const shards = async (index: unknown): Promise<string[]> => {
    const folder = temporaryDirectory();
    writeFileSync(join(folder, "index.json"), JSON.stringify(index));
    return shardsOfIndex(folder, "index.json");
  };

  test("names each shard once, sorted", async () => {
    expect(await shards({ weight_map: { a: "2.bin", b: "1.bin", c: "2.bin" } })).toEqual(["1.bin", "2.bin"]);
  });

  test.each([
    [{ weight_map: {} }, "{}"],
    [{}, "has nothing;"],
    [{ weight_map: ["1.bin"] }, "expected names of files"],
    [{ weight_map: { a: "1.bin", b: "../2.bin" } }, '"../2.bin"'],
    [{ weight_map: { a: "1.bin", b: 7 } }, "7"],
  ])("%j is refused", async (index, found) => {
    await expect(shards(index)).rejects.toMatchObject({
      code: "invalid-checkpoint",
      message: expect.stringContaining('"weight_map" has') as string,
    });
    await expect(shards(index)).rejects.toThrow(found);
  });
});

describe("names", () => {
  test("of repositories", () => {
    const refusalOf = (name: string): string => {
      try {
        checkRepositoryId(name, "/l");
        return "";
      } catch (error) {
        return (error as Error).message;
      }
    };
    for (const name of ["gpt2", "a/b", "A_1/b-c.d", `a/${"x".repeat(94)}`]) {
      expect(refusalOf(name), name).toBe("");
    }
    for (const name of ["a/b/c", "a..b", "a--b", "-a/b", "a/b.", `a/${"x".repeat(95)}`, "a/ü", "/b", "a/"]) {
      expect(refusalOf(name), name).toContain('is neither a directory ("/l" does not exist)');
    }
    expect(refusalOf("https://hub.example/a/b/tree/x")).toContain(
      'is a URL; expected a path or an id. Write "a/b".',
    );
    expect(refusalOf("http://hub.example/a/b#x")).toContain('Write "a/b".');
    expect(refusalOf("https://hub.example/a/b?x")).toContain('Write "a/b".');
    expect(refusalOf("s3://a/b")).toMatch(/is a URL; .* Write a path that begins with/);
  });

  test("of revisions, and commits", () => {
    for (const good of ["main", "v1.0+x", "refs/pr/1", "a..b"]) {
      expect(() => checkRevision(good)).not.toThrow();
    }
    for (const bad of ["", ".", "..", "a/../b", "a/./b", "/a", "a/", "a b", "a//b"]) {
      expect(() => checkRevision(bad), bad).toThrow(`The revision "${bad}" is not the name of`);
    }
    expect(isCommit("0123456789abcdef".repeat(3).slice(0, 40))).toBe(true);
    for (const other of ["0".repeat(39), "0".repeat(41), "A".repeat(40), `${"0".repeat(40)}\n`]) {
      expect(isCommit(other)).toBe(false);
    }
  });

  test("of content: a hash of either kind, in full", () => {
    expect(contentHash("a".repeat(64))).toEqual({ kind: "sha256", hex: "a".repeat(64) });
    expect(contentHash("0".repeat(40))).toEqual({ kind: "git", hex: "0".repeat(40) });
    for (const other of [
      "a".repeat(63),
      "a".repeat(65),
      "a".repeat(41),
      "A".repeat(64),
      "",
      "g".repeat(40),
    ]) {
      expect(contentHash(other)).toBeUndefined();
    }
  });
});
