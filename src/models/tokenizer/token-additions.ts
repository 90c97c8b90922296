/**
 * What tokenizer_config.json, special_tokens_map.json and added_tokens.json say of tokens beside a tokenizer.json, as
 * transformers 5 takes it in (`PreTrainedTokenizerBase._from_pretrained`, `TokenizersBackend.__init__`).
 */
import type { AddedVocabulary, TokenFlags } from "./added-vocabulary.ts";

export interface TokenAdditions {
  /** The table of added tokens, by id. */
  readonly listed: readonly TokenFlags[];
  /** Whether the table stands in tokenizer_config.json, which then counts alone. */
  readonly isTable: boolean;
  /** Tokens that are named for a role, such as `bos_token`. */
  readonly named: readonly NamedToken[];
  /** Tokens that are called special without a role. */
  readonly extra: readonly NamedToken[];
  /** Whether text that spells a special token is ordinary text. */
  readonly splitsSpecialTokens: boolean;
}

/** A token by its text alone, or with flags of its own. */
export type NamedToken = string | TokenFlags;

/** Nothing is said beside the tokenizer.json. */
export const NO_ADDITIONS: TokenAdditions = {
  listed: [],
  isTable: false,
  named: [],
  extra: [],
  splitsSpecialTokens: false,
};

/** Adds the tokens that the vocabulary does not have like this. */
export function addTokens(vocabulary: AddedVocabulary, additions: TokenAdditions): void {
  const { listed, isTable, named, extra } = additions;
  // A token that is named for a role is special, if the same files describe it.
  const described = new Set(
    (isTable ? listed : [...vocabulary.tokens(), ...listed]).map(({ content }) => content),
  );
  const ofRole = new Set(named.map(contentOf).filter((content) => described.has(content)));
  const tokens = [...vocabulary.tokens(), ...listed]
    .map((token) => (ofRole.has(token.content) ? { ...token, special: true } : token))
    .filter((token) => !isSame(token, vocabulary.get(token.content)));
  const known = new Set(tokens.map(({ content }) => content));
  for (const token of [...named, ...extra]) {
    const content = contentOf(token);
    if (known.has(content) || vocabulary.get(content) !== undefined) {
      continue;
    }
    known.add(content);
    tokens.push(typeof token === "string" ? specialToken(content) : token);
  }
  vocabulary.add(tokens);
}

function contentOf(token: NamedToken): string {
  return typeof token === "string" ? token : token.content;
}

function specialToken(content: string): TokenFlags {
  return { content, special: true, normalized: false, lstrip: false, rstrip: false, singleWord: false };
}

function isSame(one: TokenFlags, other: TokenFlags | undefined): boolean {
  return (
    other !== undefined &&
    one.special === other.special &&
    one.normalized === other.normalized &&
    one.lstrip === other.lstrip &&
    one.rstrip === other.rstrip &&
    one.singleWord === other.singleWord
  );
}
