/** The `post_processor` of tokenizer.json: the tokens around a text. */
import { describeJson, isJsonObject, type JsonObject } from "../../base/json.ts";
import { isTokenId } from "./definition.ts";
import { stepsOf, type Part } from "./part.ts";

/** The ids of the tokens around a text. */
export interface TokensAround {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** More tokens than this around a text are no tokenizer's. */
const MOST_AROUND = 1024;

/**
 * Reads what is put around a single text. What concerns pairs of texts, types of tokens and offsets has no effect here.
 *
 * @param value `post_processor` of tokenizer.json, possibly null
 * @throws ModelComposeError `unsupported` for one that is not done here, `invalid-config` for wrong parameters
 */
export function readPostProcessor(value: unknown, file: string): TokensAround {
  let around: TokensAround | undefined;
  for (const part of stepsOf(value, "post-processor", "processors", file)) {
    const read = readStep(part);
    if (read === undefined) {
      continue;
    }
    if (around !== undefined) {
      throw part.unsupported("is the second of a sequence that puts tokens around a text");
    }
    around = read;
  }
  return around ?? { before: [], after: [] };
}

function readStep(part: Part): TokensAround | undefined {
  switch (part.type) {
    case "ByteLevel":
      return undefined; // it changes offsets only
    case "BertProcessing":
    case "RobertaProcessing":
      return { before: [pairId(part, "cls")], after: [pairId(part, "sep")] };
    case "TemplateProcessing":
      return readTemplate(part);
  }
  throw part.unsupported("is not supported");
}

function pairId(part: Part, key: string): number {
  const [token, id, ...rest] = part.list(key);
  if (typeof token !== "string" || !isTokenId(id) || rest.length > 0) {
    throw part.corrupt(`has ${describeJson(part.list(key))} as "${key}"; expected a token and its id`);
  }
  return id;
}

function readTemplate(part: Part): TokensAround {
  const before: number[] = [];
  const after: number[] = [];
  let texts = 0;
  for (const piece of part.list("single")) {
    if (isJsonObject(piece) && isJsonObject(piece.Sequence)) {
      if (piece.Sequence.id !== "A") {
        throw part.corrupt(
          `has ${describeJson(piece.Sequence.id)} in "single", which is about one text, "A"`,
        );
      }
      texts++;
    } else if (isJsonObject(piece) && isJsonObject(piece.SpecialToken)) {
      (texts === 0 ? before : after).push(...specialIds(part, piece.SpecialToken));
    } else {
      throw part.corrupt(`has ${describeJson(piece)} in "single"; expected a "Sequence" or a "SpecialToken"`);
    }
  }
  if (texts !== 1) {
    throw part.unsupported(`has the text ${texts} times in "single"; expected it once`);
  }
  if (before.length + after.length > MOST_AROUND) {
    throw part.corrupt(
      `puts ${before.length + after.length} tokens around a text; expected ${MOST_AROUND} at most`,
    );
  }
  return { before, after };
}

function specialIds(part: Part, { id }: JsonObject): number[] {
  const tokens = part.object("special_tokens");
  const token = typeof id === "string" && Object.hasOwn(tokens, id) ? tokens[id] : undefined;
  if (isJsonObject(token) && Array.isArray(token.ids)) {
    const ids: unknown[] = token.ids;
    const known = ids.filter(isTokenId);
    if (known.length === ids.length) {
      return known;
    }
  }
  throw part.corrupt(`names the token ${describeJson(id)}, for which "special_tokens" has no list of ids`);
}
