/**
 * Builds the tokenizer of `@huggingface/tokenizers` without blocking the event loop. Its constructor takes half a
 * second for SmolLM3's 128,000 tokens and 280,000 merges; here it gets a model with neither, and the model's public
 * tables are filled slice by slice afterwards.
 */
import { errorMessage, ModelComposeError } from "../../base/errors.ts";
import { BlenderbotSmallTokenizer, planBlenderbotSmall } from "./blenderbot-small.ts";
import { planDecoder, type DecoderPlan } from "./decoder-plan.ts";
import type { AddedToken, DefinitionPart, TokenizerHeader } from "./definition.ts";
import { BPE, Tokenizer, type LibraryBpe, type LibraryTokenizer, type TextTokenizer } from "./library.ts";
import { correctPreTokenizer } from "./pre-tokenizers.ts";

export interface BuiltTokenizer {
  tokenizer: TextTokenizer;
  plan: DecoderPlan;
  addedTokens: readonly AddedToken[];
  /** One more than the highest token id. */
  vocabSize: number;
}

/**
 * Builds a tokenizer from the parts of its definition.
 *
 * @param file The path of the definition's file, which errors name.
 * @throws ModelComposeError `unsupported` for parts that the library does not know.
 */
export async function buildTokenizer(
  parts: AsyncIterable<DefinitionPart>,
  file: string,
): Promise<BuiltTokenizer> {
  let builder: Builder | undefined;
  for await (const part of parts) {
    if (part.kind === "header") {
      builder = new Builder(part, file);
    } else {
      builder?.add(part);
    }
  }
  if (builder === undefined) {
    throw new ModelComposeError("invalid-config", `"${file}" has no header.`);
  }
  return builder.finish();
}

type HeaderPart = Extract<DefinitionPart, { kind: "header" }>;
type SlicePart = Exclude<DefinitionPart, HeaderPart>;

class Builder {
  readonly #part: HeaderPart;
  readonly #file: string;
  readonly #library: LibraryTokenizer;
  readonly #model: LibraryBpe;

  constructor(part: HeaderPart, file: string) {
    const { header, vocabSize, unknownId } = part;
    this.#part = part;
    this.#file = file;
    this.#library = construct(header, file);
    this.#model = asBpe(this.#library.model);
    if (unknownId !== undefined) {
      this.#model.unk_token_id = unknownId;
    }
    // The constructor has put in the added tokens, far up in an array that is empty below: V8 makes that a slow one.
    const tokens = new Array<string | undefined>(vocabSize);
    for (const { id, content } of header.added_tokens) {
      tokens[id] = content;
    }
    this.#model.vocab = tokens;
  }

  add(part: SlicePart): void {
    if (part.kind === "merges") {
      part.keys.forEach((key, i) => this.#model.bpe_ranks.set(key, part.firstRank + i));
      return;
    }
    const { vocab, tokens_to_ids: idOf } = this.#model;
    part.tokens.forEach((token, i) => {
      const id = part.ids[i];
      if (id === undefined) {
        return;
      }
      // Added tokens win over the vocabulary, as in the constructor.
      vocab[id] ??= token;
      if (!idOf.has(token)) {
        idOf.set(token, id);
      }
    });
  }

  finish(): BuiltTokenizer {
    return complete(this.#library, this.#part, this.#file);
  }
}

function construct(header: TokenizerHeader, file: string): LibraryTokenizer {
  try {
    // The second parameter is tokenizer_config.json; all it would add here is behaviour that transformers' fast
    // tokenizers do not have.
    const library = new Tokenizer(header, {});
    correctPreTokenizer(library.pre_tokenizer, header.pre_tokenizer);
    return library;
  } catch (error) {
    throw new ModelComposeError("unsupported", `"${file}" cannot be used: ${errorMessage(error)}.`, {
      remedy: "Check that it is the unchanged file of the model.",
      cause: error,
    });
  }
}

function complete(
  library: LibraryTokenizer,
  { header, vocabSize, scheme }: HeaderPart,
  file: string,
): BuiltTokenizer {
  const addedTokens = header.added_tokens;
  if (scheme.kind === "tokenizers") {
    return { tokenizer: library, plan: planDecoder(header.decoder, file), addedTokens, vocabSize };
  }
  const tokenizer = new BlenderbotSmallTokenizer(asBpe(library.model), addedTokens);
  return { tokenizer, plan: planBlenderbotSmall(scheme.cleanUpSpaces), addedTokens, vocabSize };
}

/** The library's model with the tables that are filled here. @throws ModelComposeError "unsupported" for another kind */
function asBpe(model: unknown): LibraryBpe {
  if (
    model instanceof BPE &&
    model.bpe_ranks instanceof Map &&
    model.tokens_to_ids instanceof Map &&
    Array.isArray(model.vocab)
  ) {
    return model;
  }
  throw new ModelComposeError("unsupported", "@huggingface/tokenizers built a model that is not BPE.", {
    remedy: "Install the version that package.json asks for.",
  });
}
