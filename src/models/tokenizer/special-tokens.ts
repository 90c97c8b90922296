/** Special tokens as tokenizer_config.json and special_tokens_map.json name them. */
import { ModelComposeError } from "../../base/errors.ts";
import { describeJson, isJsonObject } from "../../base/json.ts";
import type { ConfigFile } from "../config/schema.ts";
import { corrupt } from "./definition.ts";

/** What a special token is for. A folder's files name a token for a role as `bos_token` and so on. */
export const ROLES = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"] as const;
export type Role = (typeof ROLES)[number];

/** A special token as text, and what it does to the white space around it. */
export interface SpecialToken {
  content: string;
  /** Whether it takes the white space before it along. */
  lstrip: boolean;
  /** Whether it takes the white space after it along. */
  rstrip: boolean;
}

/** The tokens that one file names for roles. `null` means none, even where the class has one. */
export function rolesIn({ path, values }: ConfigFile): Map<Role, SpecialToken | null> {
  const roles = new Map<Role, SpecialToken | null>();
  for (const role of ROLES) {
    const key = `${role}_token`;
    const value = values[key];
    if (value !== undefined) {
      roles.set(role, value === null ? null : readSpecialToken(value, path, key));
    }
  }
  return roles;
}

/** The tokens that one file calls special without a role: a list, or an object of names and tokens. */
export function extraTokensIn({ path, values }: ConfigFile): SpecialToken[] {
  return ["additional_special_tokens", "extra_special_tokens"].flatMap((key) => {
    const value = values[key];
    if (value === undefined || value === null) {
      return [];
    }
    const tokens: unknown[] = Array.isArray(value)
      ? value
      : isJsonObject(value)
        ? Object.values(value)
        : [value];
    return tokens.map((token) => readSpecialToken(token, path, key));
  });
}

/** Reads a token that is written as text, or as an object with `content` and flags. */
export function readSpecialToken(value: unknown, file: string, key: string): SpecialToken {
  if (typeof value === "string" && value !== "") {
    return { content: value, lstrip: false, rstrip: false };
  }
  if (!isJsonObject(value) || typeof value.content !== "string" || value.content === "") {
    throw corrupt(
      file,
      `has ${describeJson(value)} in "${key}"; expected a token: text, or an object with "content"`,
    );
  }
  if (value.single_word === true) {
    throw new ModelComposeError(
      "unsupported",
      `"${file}" sets "single_word" of the token ${describeJson(value.content)} in "${key}".`,
      { remedy: 'Set it to false, if "single_word" is not needed.' },
    );
  }
  return { content: value.content, lstrip: value.lstrip === true, rstrip: value.rstrip === true };
}
