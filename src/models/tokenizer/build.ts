/** Builds a tokenizer of the parts of its definition, without blocking the event loop: large tables come in slices. */
import { runAtOnce } from "../../base/async/slices.ts";
import { ModelComposeError } from "../../base/errors.ts";
import { describeJson } from "../../base/json.ts";
import type { AddedToken } from "./added-vocabulary.ts";
import { BlenderbotSmallEncoder, planBlenderbotSmall } from "./blenderbot-small.ts";
import { Bpe, type BpeOptions } from "./bpe.ts";
import { planDecoder, type DecoderPlan } from "./decoder-plan.ts";
import { corrupt, type DefinitionPart, type ModelTable, type TokenizerHeader } from "./definition.ts";
import type { Merges } from "./merges.ts";
import { readNormalizer } from "./normalizer.ts";
import { readPostProcessor } from "./post-processor.ts";
import { readPreTokenizer } from "./pre-tokenizer.ts";
import { DefinedEncoder, type StepwiseEncoder } from "./text-encoder.ts";
import { Unigram } from "./unigram.ts";

/** How many times as long a text may become before it is split into tokens. Those of models make it a few times as long. */
const MOST_GROWTH = 256;

export interface BuiltTokenizer {
  encoder: StepwiseEncoder;
  plan: DecoderPlan;
  addedTokens: readonly AddedToken[];
  /** The id of a token, added or of the vocabulary. */
  idOf: (token: string) => number | undefined;
  /** The tokens by id, as decoding needs them: a normalized added token is spelled as it is when it is normalized. */
  tokens: readonly (string | undefined)[];
  /** One more than the highest token id. */
  vocabSize: number;
}

/**
 * Builds a tokenizer from the parts of its definition.
 *
 * @param file The path of the definition's file, which errors name.
 * @throws ModelComposeError `unsupported` for what exists and is not done here, `invalid-config` for wrong parameters.
 */
export async function buildTokenizer(
  parts: AsyncIterable<DefinitionPart>,
  file: string,
): Promise<BuiltTokenizer> {
  let header: TokenizerHeader | undefined;
  let table: ModelTable | undefined;
  /** The ids of the vocabulary. */
  const vocabulary = new Map<string, number>();
  let complete: ((table: ModelTable) => BuiltTokenizer) | undefined;
  let tokens: (string | undefined)[] = [];
  for await (const part of parts) {
    if (part.kind === "header") {
      ({ header } = part);
      tokens = new Array<string | undefined>(header.vocabSize);
      complete = prepare(header, vocabulary, tokens, file);
    } else if (part.kind !== "tokens") {
      table = part;
    } else {
      part.tokens.forEach((token, i) => {
        const id = part.ids[i];
        if (id !== undefined) {
          vocabulary.set(token, id);
          tokens[id] ??= token;
        }
      });
    }
  }
  if (complete === undefined || table === undefined) {
    throw new ModelComposeError("invalid-config", `"${file}" has no header or no merges.`);
  }
  return complete(table);
}

/** Reads all but the tables, so that what is refused is refused before they come. */
function prepare(
  { addedTokens, model, pipeline, scheme, splitsSpecialTokens, vocabSize }: TokenizerHeader,
  vocabulary: ReadonlyMap<string, number>,
  tokens: (string | undefined)[],
  file: string,
): (table: ModelTable) => BuiltTokenizer {
  const addedIds = new Map(addedTokens.map(({ id, content }) => [content, id]));
  const idOf = (token: string): number | undefined => addedIds.get(token) ?? vocabulary.get(token);
  const common = { addedTokens, idOf, tokens, vocabSize };
  if (scheme.kind === "blenderbot-small") {
    addedTokens.forEach(({ id, content }) => (tokens[id] = content));
    return (found) => {
      const [{ unknownToken }, { table, symbols = [] }] = bpeOf(model, found);
      const parts = { vocabulary, merges: table, symbols, unknownToken, addedTokens };
      return {
        ...common,
        encoder: new BlenderbotSmallEncoder(parts),
        plan: planBlenderbotSmall(scheme.cleanUpSpaces),
      };
    };
  }
  const normalizer = readNormalizer(pipeline.normalizer, file);
  const preTokenizer = readPreTokenizer(pipeline.pre_tokenizer, file);
  const around = readPostProcessor(pipeline.post_processor, file);
  const plan = planDecoder(pipeline.decoder, file);
  if (normalizer.growth * preTokenizer.growth > MOST_GROWTH) {
    throw corrupt(
      file,
      `has a normalizer and a pre-tokenizer that make texts more than ${MOST_GROWTH} times as long`,
    );
  }
  if (preTokenizer.asksForStart && !normalizer.keepsStart) {
    throw new ModelComposeError(
      "unsupported",
      `"${file}" cannot be used: the pre-tokenizer "Metaspace" has the prepend_scheme "first" behind a normalizer that ` +
        "changes where a text begins.",
      { remedy: "Use a model whose tokenizer is of another kind." },
    );
  }
  const normalizedTexts = new Map<number, string>();
  for (const { id, content, normalized } of addedTokens) {
    const text = normalized ? runAtOnce(normalizer.apply(content)) : content;
    if (text === "") {
      throw corrupt(
        file,
        `has the added token ${describeJson(content)}, of which normalizing leaves nothing`,
      );
    }
    normalizedTexts.set(id, text);
    tokens[id] = text;
  }
  const bpe = (...of: Parameters<typeof bpeOf>): Bpe => {
    const [options, merges] = bpeOf(...of);
    return new Bpe(options, vocabulary, merges, preTokenizer.spell);
  };
  return (table) => {
    const words =
      "kind" in model && table.kind === "pieces"
        ? new Unigram(model, vocabulary, table.pieces, preTokenizer.spell)
        : bpe(model, table);
    const parts = { addedTokens, splitsSpecialTokens, normalizer, preTokenizer, words, around };
    return { ...common, encoder: new DefinedEncoder(parts, normalizedTexts), plan };
  };
}

/** The options and merges of byte-pair encoding; a definition has its table by its model. */
function bpeOf(model: TokenizerHeader["model"], table: ModelTable): [BpeOptions, Merges] {
  if ("kind" in model || table.kind !== "merges") {
    throw new Error(`A model of merges has a table of ${table.kind}.`);
  }
  return [model, table.merges];
}
