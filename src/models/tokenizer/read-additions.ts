/** Reads what the files beside a tokenizer.json say of tokens. */
import { join } from "node:path";
import { describeJson, isJsonObject, type JsonObject } from "../../base/json.ts";
import { isFile, readJsonObject } from "../../runtime/platform/files.ts";
import { ADDED_TOKENS_FILE } from "../model-files.ts";
import type { TokenFlags } from "./added-vocabulary.ts";
import type { ConfigFiles } from "./config-files.ts";
import { corrupt, readTokenFlags } from "./definition.ts";
import { ROLES } from "./special-tokens.ts";
import type { NamedToken, TokenAdditions } from "./token-additions.ts";

/**
 * Reads the tokens. Where tokenizer_config.json has a table of added tokens, the files that were there before it,
 * special_tokens_map.json and added_tokens.json, do not count.
 *
 * @throws ModelComposeError `invalid-config` for a table that is none
 */
export async function readAdditions(directory: string, config: ConfigFiles): Promise<TokenAdditions> {
  const { path, values } = config.tokenizer;
  const table = values.added_tokens_decoder;
  const isTable = table !== undefined && table !== null;
  const settings = isTable ? values : { ...values, ...config.specialTokens.values };
  const named = namedTokens(settings);
  const extra = extraTokens(settings);
  const special = new Set(
    [...named, ...extra].map((token) => (typeof token === "string" ? token : token.content)),
  );
  return {
    listed: isTable ? readTable(table, path) : await readAddedTokensFile(directory, special),
    isTable,
    named,
    extra,
    splitsSpecialTokens: values.split_special_tokens === true,
  };
}

/** The tokens of `added_tokens_decoder`, by id. */
function readTable(table: unknown, file: string): TokenFlags[] {
  if (!isJsonObject(table)) {
    throw corrupt(file, `has ${describeJson(table)} as "added_tokens_decoder"; expected an object`);
  }
  return Object.entries(table)
    .map(([key, token]) => {
      const id = /^\d+$/.test(key) ? Number(key) : NaN;
      if (!Number.isSafeInteger(id) || !isJsonObject(token)) {
        throw corrupt(
          file,
          `has ${describeJson(token)} as ${describeJson(key)} of "added_tokens_decoder"; expected a token by its id`,
        );
      }
      return { id, token: readTokenFlags(token, file, "added_tokens_decoder") };
    })
    .sort((a, b) => a.id - b.id)
    .map(({ token }) => token);
}

/** The tokens of added_tokens.json, text → id, by id. */
async function readAddedTokensFile(directory: string, special: ReadonlySet<string>): Promise<TokenFlags[]> {
  const file = join(directory, ADDED_TOKENS_FILE);
  if (!(await isFile(file))) {
    return [];
  }
  const ids = await readJsonObject(file, "tokenizer", {
    code: "invalid-config",
    remedy: "Fetch the file again, or remove it.",
  });
  return Object.entries(ids)
    .map(([content, id]) => {
      if (typeof id !== "number") {
        throw corrupt(
          file,
          `gives the token ${describeJson(content)} the id ${describeJson(id)}; expected a number`,
        );
      }
      return {
        id,
        token: readTokenFlags({ content, special: special.has(content) }, file, ADDED_TOKENS_FILE),
      };
    })
    .sort((a, b) => a.id - b.id)
    .map(({ token }) => token);
}

/** The tokens of roles, those of the usual roles first; then `image_token` and the like. Other values name none. */
function namedTokens(settings: JsonObject): NamedToken[] {
  const usual = ROLES.map((role) => `${role}_token`);
  const others = Object.keys(settings).filter((key) => key.endsWith("_token") && !usual.includes(key));
  const { extra_special_tokens: extra } = settings;
  const byName = isJsonObject(extra) ? Object.values(extra) : [];
  return [...usual.map((key) => settings[key]), ...others.map((key) => settings[key]), ...byName].flatMap(
    tokenOf,
  );
}

/** The tokens of `extra_special_tokens`, or of what it was called before it. */
function extraTokens(settings: JsonObject): NamedToken[] {
  const { extra_special_tokens: extra, additional_special_tokens: additional } = settings;
  const list = Array.isArray(extra) && extra.length > 0 ? extra : additional;
  return Array.isArray(list) ? (list as unknown[]).flatMap(tokenOf) : [];
}

/** A token that is named by text or by an object; none for what is neither. */
function tokenOf(value: unknown): NamedToken[] {
  if (typeof value === "string") {
    return value === "" ? [] : [value];
  }
  if (!isJsonObject(value) || typeof value.content !== "string" || value.content === "") {
    return [];
  }
  const { content, normalized, lstrip, rstrip, single_word: singleWord } = value;
  return [
    {
      content,
      special: true,
      normalized: normalized === true,
      lstrip: lstrip === true,
      rstrip: rstrip === true,
      singleWord: singleWord === true,
    },
  ];
}
