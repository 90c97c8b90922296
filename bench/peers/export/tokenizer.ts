/**
 * The tokenizer and the chat template of a GGUF file, from a model's tokenizer.json: byte-level BPE, which llama.cpp
 * calls "gpt2".
 */
import { join } from "node:path";
import { z } from "zod";
import { ModelComposeError } from "../../../src/base/errors.ts";
import type { BaseConfig } from "../../../src/models/config/base.ts";
import { parseConfig, type ConfigFile } from "../../../src/models/config/schema.ts";
import { CHAT_TEMPLATE_FILE, TOKENIZER_FILE } from "../../../src/models/model-files.ts";
import { byteLevelBytes } from "../../../src/models/tokenizer/byte-level.ts";
import { readConfigFiles } from "../../../src/models/tokenizer/config-files.ts";
import { rolesIn, type Role } from "../../../src/models/tokenizer/special-tokens.ts";
import { loadTokenizer } from "../../../src/models/tokenizer/tokenizer.ts";
import { isFile, readJsonObject, readSmallFile } from "../../../src/runtime/platform/files.ts";
import type { MetadataValue } from "../gguf/format.ts";
import { preTokenizerName } from "./pre-tokenizer.ts";

/** llama_token_type. */
const TOKEN_TYPES = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const;

/** The keys of tokenizer.json that are read. */
const schema = z.object({
  added_tokens: z.array(z.object({ id: z.int().min(0), content: z.string(), special: z.boolean() })),
  normalizer: z.null({ error: "expected null (llama.cpp's BPE normalizes nothing)" }).optional(),
  pre_tokenizer: z.unknown(),
  model: z.object({
    type: z.literal("BPE").default("BPE"),
    vocab: z.record(z.string(), z.int().min(0)),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
    ignore_merges: z.boolean().default(false),
  }),
});

type TokenizerJson = z.output<typeof schema>;

/** The 256 characters of the byte-level alphabet, which lie below U+0144; DEL, which is none of them, is one byte too. */
const BYTE_TOKENS = Array.from({ length: 0x144 - 0x21 }, (_, i) => String.fromCharCode(0x21 + i)).filter(
  (character) => character !== "\x7f" && byteLevelBytes(character).byteLength === 1,
);

/**
 * A tokenizer for a model without one, such as a random model: a token a byte, and no other. node-llama-cpp runs no model
 * without a tokenizer, nor do llama.cpp's server and perplexity.
 */
export function standInTokenizer({ vocabSize, eosTokenIds }: BaseConfig): Map<string, MetadataValue> {
  const tokens = Array.from({ length: vocabSize }, (_, id) => BYTE_TOKENS[id] ?? `[PAD${id}]`);
  const types = tokens.map((_, id) => (id < BYTE_TOKENS.length ? TOKEN_TYPES.normal : TOKEN_TYPES.unused));
  const [eos] = eosTokenIds;
  return new Map<string, MetadataValue>([
    ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
    ["tokenizer.ggml.pre", { type: "string", value: "gpt-2" }],
    ["tokenizer.ggml.tokens", { type: "strings", values: tokens }],
    ["tokenizer.ggml.token_type", { type: "int32s", values: types }],
    ["tokenizer.ggml.merges", { type: "strings", values: [] }],
    ...(eos === undefined ? [] : roleMetadata(new Map([["eos", eos]]))),
  ]);
}

/**
 * Reads the tokenizer of a folder.
 *
 * @param vocabSize tokens of the model: those that the tokenizer lacks are filled up
 * @throws ModelComposeError for a tokenizer that is missing, of another kind, or larger than the model's vocabulary
 */
export async function tokenizerMetadata(
  directory: string,
  vocabSize: number,
): Promise<Map<string, MetadataValue>> {
  const path = join(directory, TOKENIZER_FILE);
  const remedy = "Name a folder with the tokenizer.json of a byte-level BPE (--tokenizer).";
  const values = await readJsonObject(path, "tokenizer", { code: "invalid-config", remedy });
  const file: ConfigFile = { path, values };
  const json = parseConfig(file, schema);
  const { tokens, types } = tokenTable(file, json, vocabSize);
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const roles = await roleIds(directory, ids);
  const wrapped = (await loadTokenizer(directory)).encode("a");
  const begins = wrapped[0] === roles.get("bos");
  const ends = wrapped.at(-1) === roles.get("eos");
  return new Map<string, MetadataValue>([
    ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
    ["tokenizer.ggml.pre", { type: "string", value: preTokenizerName(file, json.model.ignore_merges) }],
    ["tokenizer.ggml.tokens", { type: "strings", values: tokens }],
    ["tokenizer.ggml.token_type", { type: "int32s", values: types }],
    ["tokenizer.ggml.merges", { type: "strings", values: json.model.merges.map(mergeText) }],
    ...roleMetadata(roles),
    // Without these, llama.cpp decides by the name of the pre-tokenizer.
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: begins }],
    ["tokenizer.ggml.add_eos_token", { type: "bool", value: ends }],
    ...(await chatTemplate(directory)),
  ]);
}

function tokenTable(
  { path }: ConfigFile,
  { model, added_tokens: added }: TokenizerJson,
  vocabSize: number,
): { tokens: string[]; types: number[] } {
  const tokens = Array.from({ length: vocabSize }, (_, id) => `[PAD${id}]`);
  const types = Array<number>(vocabSize).fill(TOKEN_TYPES.unused);
  const put = (token: string, id: number, type: number): void => {
    if (id >= vocabSize) {
      throw new ModelComposeError(
        "invalid-config",
        `"${path}" gives the token "${token}" the id ${id}; the model has ${vocabSize} tokens.`,
        { remedy: "Take a tokenizer with a vocabulary that is no larger." },
      );
    }
    tokens[id] = token;
    types[id] = type;
  };
  for (const [token, id] of Object.entries(model.vocab)) {
    put(token, id, TOKEN_TYPES.normal);
  }
  for (const { content, id, special } of added) {
    put(content, id, special ? TOKEN_TYPES.control : TOKEN_TYPES.userDefined);
  }
  return { tokens, types };
}

/** A merge as GGUF has it: the two parts with a space between them. Byte-level parts have none of their own. */
function mergeText(merge: string | [string, string]): string {
  return typeof merge === "string" ? merge : merge.join(" ");
}

/** The ids of the tokens that the folder's files name for a role, by text or, in config.json, by id. */
async function roleIds(directory: string, ids: ReadonlyMap<string, number>): Promise<Map<Role, number>> {
  const { tokenizer, specialTokens, model } = await readConfigFiles(directory);
  const roles = new Map<Role, number>();
  for (const role of ["bos", "eos", "unk", "pad"] as const) {
    const id: unknown = model.values[`${role}_token_id`];
    if (typeof id === "number") {
      roles.set(role, id);
    }
  }
  for (const named of [rolesIn(specialTokens), rolesIn(tokenizer)]) {
    for (const [role, token] of named) {
      const id = token === null ? undefined : ids.get(token.content);
      if (id !== undefined) {
        roles.set(role, id);
      }
    }
  }
  return roles;
}

const ROLE_KEYS: Readonly<Partial<Record<Role, string>>> = {
  bos: "bos_token_id",
  eos: "eos_token_id",
  unk: "unknown_token_id",
  pad: "padding_token_id",
};

function roleMetadata(roles: ReadonlyMap<Role, number>): [string, MetadataValue][] {
  return [...roles].flatMap(([role, value]): [string, MetadataValue][] => {
    const key = ROLE_KEYS[role];
    return key === undefined ? [] : [[`tokenizer.ggml.${key}`, { type: "uint32", value }]];
  });
}

async function chatTemplate(directory: string): Promise<[string, MetadataValue][]> {
  const path = join(directory, CHAT_TEMPLATE_FILE);
  const { tokenizer } = await readConfigFiles(directory);
  const text: unknown = (await isFile(path))
    ? new TextDecoder().decode(await readSmallFile(path, "template"))
    : tokenizer.values.chat_template;
  return typeof text === "string" ? [["tokenizer.chat_template", { type: "string", value: text }]] : [];
}
