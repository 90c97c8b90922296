/**
 * Every part of tokenizer.json that is read here, against the tokenizers library in Rust, and the files beside it against
 * transformers 5 (test/fixtures/tokenizer-parts, made by the script there).
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runAtOnce } from "../src/base/async/slices.ts";
import { buildTokenizer, type BuiltTokenizer } from "../src/models/tokenizer/build.ts";
import { parseDefinition } from "../src/models/tokenizer/definition.ts";
import { PlannedDecoder } from "../src/models/tokenizer/incremental-decoder.ts";
import { NO_ADDITIONS } from "../src/models/tokenizer/token-additions.ts";
import { loadTokenizer } from "../src/models/tokenizer/tokenizer.ts";

type Json = Record<string, unknown>;

/** The ids of each text by each part; null where the library panics. */
type Ids = (number[] | null)[][];

interface Fixture {
  base: Json & { model: Json };
  pre_tokenizers: { texts: string[]; parts: Json[]; words: string[][] };
  normalizers: { texts: string[]; parts: Json[]; words: string[][] };
  patterns: { texts: string[]; patterns: string[]; words: string[][] };
  added: { texts: string[]; definitions: Json[]; ids: Ids };
  models: { texts: string[]; models: Json[]; ids: Ids };
  post_processors: { texts: string[]; parts: Json[]; ids: Ids };
  decoders: { tokens: string[]; parts: (Json | null)[]; rows: number[][]; texts: string[][] };
  beside: {
    base: Json;
    texts: string[];
    cases: { name: string; files: Record<string, unknown>; special: number[]; ids: number[][] }[];
  };
}

const fixture = JSON.parse(
  await readFile(new URL("fixtures/tokenizer-parts/parts.json", import.meta.url), "utf8"),
) as Fixture;

const BYTES = Object.fromEntries(
  Array.from({ length: 256 }, (_, byte) => [`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`, byte]),
);

async function build(parts: Json): Promise<BuiltTokenizer> {
  const json = { ...fixture.base, model: { ...fixture.base.model, vocab: BYTES }, ...parts };
  const bytes = new TextEncoder().encode(JSON.stringify(json));
  const definition = async function* () {
    await Promise.resolve();
    yield* parseDefinition(bytes, "m/tokenizer.json", NO_ADDITIONS);
  };
  return buildTokenizer(definition(), "m/tokenizer.json");
}

function encode({ encoder }: BuiltTokenizer, text: string, addSpecialTokens = false): number[] {
  return runAtOnce(encoder.encode(text, { addSpecialTokens, most: Infinity }));
}

/** The words that a text was cut into, a sign behind each: the model has a token for each byte, and ends words visibly. */
function words(tokenizer: BuiltTokenizer, text: string): string {
  return new TextDecoder("utf-8", { ignoreBOM: true })
    .decode(Uint8Array.from(encode(tokenizer, text)))
    .replaceAll("</w>", "␟");
}

function named<T>(parts: readonly T[], expected: readonly unknown[]): [string, T, number][] {
  expect(expected.length).toBe(parts.length);
  return parts.map((part, i) => [JSON.stringify(part).slice(0, 150), part, i]);
}

describe("pre-tokenizers", () => {
  const { texts, parts, words: expected } = fixture.pre_tokenizers;
  test.each(named(parts, expected))("%s", async (_name, part, i) => {
    const tokenizer = await build({ pre_tokenizer: part });
    expect(texts.map((text) => words(tokenizer, text))).toEqual(expected[i]);
  });
});

describe("normalizers", () => {
  const { texts, parts, words: expected } = fixture.normalizers;
  test.each(named(parts, expected))("%s", async (_name, part, i) => {
    const tokenizer = await build({ normalizer: part });
    expect(texts.map((text) => words(tokenizer, text))).toEqual(expected[i]);
  });
});

describe("patterns", () => {
  const { texts, patterns, words: expected } = fixture.patterns;
  test.each(named(patterns, expected))("%s", async (_name, pattern, i) => {
    const tokenizer = await build({
      normalizer: { type: "Replace", pattern: { Regex: pattern }, content: "‡" },
    });
    expect(texts.map((text) => words(tokenizer, text))).toEqual(expected[i]);
  });
});

/** Compares ids but for texts on which the library panics. */
function compare(
  tokenizer: BuiltTokenizer,
  texts: readonly string[],
  ids: Ids[number],
  special = false,
): void {
  expect(ids.length).toBe(texts.length);
  const got = texts.map((text, i) => (ids[i] === null ? null : encode(tokenizer, text, special)));
  expect(got).toEqual(ids);
}

describe("added tokens", () => {
  const { texts, definitions, ids } = fixture.added;
  test.each(named(definitions, ids))("%s", async (_name, definition, i) => {
    compare(await build(definition), texts, ids[i] ?? []);
  });
});

describe("models", () => {
  const { texts, models, ids } = fixture.models;
  test.each(named(models, ids))("%s", async (_name, model, i) => {
    compare(await build({ model }), texts, ids[i] ?? []);
  });
});

describe("post-processors", () => {
  const { texts, parts, ids } = fixture.post_processors;
  test.each(named(parts, ids))("%s", async (_name, part, i) => {
    compare(await build({ post_processor: part }), texts, ids[i] ?? [], true);
  });
});

describe("decoders", () => {
  const { tokens, parts, rows, texts } = fixture.decoders;
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  test.each(named(parts, texts))("%s", async (_name, decoder, i) => {
    const model = { ...fixture.base.model, end_of_word_suffix: null, byte_fallback: false, vocab };
    const { plan, tokens: byId } = await build({ decoder, model });
    const table = { lookup: (id: number) => ({ text: byId[id] ?? "", special: false }) };
    const decoded = rows.map((row) => {
      const stream = new PlannedDecoder(plan, table, { afterPrompt: false });
      return row.map((id) => stream.push(id)).join("") + stream.finish();
    });
    // Bytes that are no UTF-8 become as many U+FFFD as the WHATWG encoding standard has it, in Rust's ByteFallback one a
    // byte; how many does not count here.
    const marks = (text: string): string => text.replaceAll(/\ufffd+/g, "\ufffd");
    expect(decoded.map(marks)).toEqual(texts[i]?.map(marks));
  });
});

describe("the files beside a tokenizer.json", () => {
  const { base, texts, cases } = fixture.beside;
  let scratch = "";
  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), "model-compose-beside-"));
  });
  afterAll(() => rm(scratch, { recursive: true }));

  test.each(cases)("$name", async ({ files, special, ids }) => {
    const folder = await mkdtemp(join(scratch, "folder-"));
    for (const [file, content] of Object.entries({ "tokenizer.json": base, ...files })) {
      await writeFile(join(folder, file), JSON.stringify(content));
    }
    const tokenizer = await loadTokenizer(folder);
    expect(tokenizer.specialTokenIds).toEqual(new Set(special));
    expect(texts.map((text) => tokenizer.encode(text))).toEqual(ids);
  });
});
