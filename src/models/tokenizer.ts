/** Text to token ids and back, with the tokenizer that a model was trained with. */
import { join } from "node:path";
import { ModelComposeError, throwIfAborted } from "../runtime/errors.ts";
import { describeJson, isJsonObject, readJsonObject, type JsonObject } from "../runtime/json.ts";
import { isFile } from "../runtime/platform/files.ts";
import { PlannedDecoder } from "./incremental-decoder.ts";
import type { IncrementalDecoder, IncrementalDecoderOptions, TokenTable } from "./incremental-decoder.ts";
import { buildTokenizer, type BuiltTokenizer } from "./tokenizer/build.ts";
import { planDecoder } from "./tokenizer/decoder-plan.ts";
import { readDefinition } from "./tokenizer/read-definition.ts";

export type { IncrementalDecoder, IncrementalDecoderOptions } from "./incremental-decoder.ts";

export interface Tokenizer {
  /**
   * The token ids of a text. Text that spells an added or special token (such as `<|im_start|>`) becomes that token,
   * as with transformers: who puts a stranger's text into a prompt must remove such spellings. Half of a surrogate
   * pair is encoded as U+FFFD.
   *
   * @param options.addSpecialTokens With what the model expects around a text, as a begin-of-text token. Default true.
   */
  encode(text: string, options?: { addSpecialTokens?: boolean }): number[];
  /**
   * The text of a sequence from its beginning. It is not tidied: `clean_up_tokenization_spaces` of
   * tokenizer_config.json is ignored, as in transformers 5, because it removes spaces that belong to the text.
   *
   * @param options.skipSpecialTokens Leave out special tokens. Default true.
   * @throws ModelComposeError `invalid-argument` for an id that is not an integer from 0 to vocabSize - 1.
   */
  decode(ids: readonly number[], options?: { skipSpecialTokens?: boolean }): string;
  /** One more than the highest token id. A model's logits may be more: rows that were added for alignment. */
  readonly vocabSize: number;
  /** What `skipSpecialTokens` leaves out. */
  readonly specialTokenIds: ReadonlySet<number>;
  /** The id of a token as tokenizer.json writes it, for example "<|im_end|>" or "Ġthe". */
  idOf(token: string): number | undefined;
  /** Decodes token by token; by default what follows a prompt. */
  incrementalDecoder(options?: IncrementalDecoderOptions): IncrementalDecoder;
}

const TOKENIZER_FILE = "tokenizer.json";
const CONFIG_FILES = ["tokenizer_config.json", "special_tokens_map.json"];

/** Whether a model folder has a tokenizer. */
export function hasTokenizer(directory: string): Promise<boolean> {
  return isFile(join(directory, TOKENIZER_FILE));
}

/**
 * Loads the tokenizer of a model folder: tokenizer.json (byte-pair encoding), and the names of special tokens from
 * tokenizer_config.json and special_tokens_map.json where they are present. A large file is parsed in a worker thread
 * and taken in slice by slice, so the event loop goes on turning.
 *
 * @throws ModelComposeError `not-found` without tokenizer.json, `invalid-config` for a corrupt file, `unsupported` for
 *   another kind of tokenizer; AbortError.
 */
export async function loadTokenizer(directory: string, options: { signal?: AbortSignal } = {}): Promise<Tokenizer> {
  const { signal } = options;
  throwIfAborted(signal);
  const file = join(directory, TOKENIZER_FILE);
  if (!(await isFile(file))) {
    throw new ModelComposeError("not-found", `"${directory}" has no tokenizer: ${TOKENIZER_FILE} is missing.`, {
      remedy: "Add the file of the model, or give the model token ids instead of text.",
    });
  }
  const specialNames = await readSpecialNames(directory);
  const built = await buildTokenizer(readDefinition(file, specialNames, signal), file);
  throwIfAborted(signal);
  return new LibraryBackedTokenizer(built, file);
}

class LibraryBackedTokenizer implements Tokenizer, TokenTable {
  readonly vocabSize: number;
  readonly specialTokenIds: ReadonlySet<number>;
  readonly #library: BuiltTokenizer["library"];
  readonly #plan: ReturnType<typeof planDecoder>;
  readonly #addedIds: ReadonlySet<number>;
  readonly #file: string;

  constructor({ library, header, vocabSize }: BuiltTokenizer, file: string) {
    const added = header.added_tokens;
    this.vocabSize = vocabSize;
    this.specialTokenIds = new Set(added.filter((token) => token.special).map((token) => token.id));
    this.#addedIds = new Set(added.map((token) => token.id));
    this.#library = library;
    this.#file = file;
    this.#plan = planDecoder(header.decoder, file);
  }

  encode(text: string, options: { addSpecialTokens?: boolean } = {}): number[] {
    if (typeof text !== "string") {
      throw new ModelComposeError("invalid-input", `The text to encode is ${describeJson(text)}; expected a string.`);
    }
    const { ids } = this.#library.encode(text, { add_special_tokens: options.addSpecialTokens ?? true });
    return ids.map((id) => {
      if (id !== undefined) return id;
      throw new ModelComposeError("invalid-config", `"${this.#file}" adds a token around texts that has no id.`, {
        remedy: "It is corrupt or was edited: fetch it again.",
      });
    });
  }

  decode(ids: readonly number[], options: { skipSpecialTokens?: boolean } = {}): string {
    const decoder = this.incrementalDecoder({ ...options, afterPrompt: false });
    let text = "";
    for (const id of ids) text += decoder.push(id);
    return text + decoder.finish();
  }

  idOf(token: string): number | undefined {
    return this.#library.token_to_id(token);
  }

  incrementalDecoder(options?: IncrementalDecoderOptions): IncrementalDecoder {
    return new PlannedDecoder(this.#plan, this, options);
  }

  lookup(id: number): ReturnType<TokenTable["lookup"]> {
    if (!Number.isInteger(id) || id < 0 || id >= this.vocabSize) {
      throw new ModelComposeError(
        "invalid-argument",
        `Token id ${id} is not in the vocabulary; expected an integer from 0 to ${this.vocabSize - 1}.`,
        { remedy: "Decode ids of this model only." },
      );
    }
    const text = this.#library.id_to_token(id);
    if (text === undefined) return undefined;
    return { text, added: this.#addedIds.has(id), special: this.specialTokenIds.has(id) };
  }
}

/** The special tokens that the configuration files beside tokenizer.json name. */
async function readSpecialNames(directory: string): Promise<string[]> {
  const names: string[] = [];
  for (const name of CONFIG_FILES) {
    const path = join(directory, name);
    if (!(await isFile(path))) continue;
    names.push(...specialNamesOf(await readJsonObject(path, "invalid-config", "Fetch the file again, or remove it.")));
  }
  return names;
}

/** Values are strings, objects with `content`, or lists of these. */
function specialNamesOf(config: JsonObject): string[] {
  const named = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map((role) => config[`${role}_token`]);
  return [...named, config.additional_special_tokens, config.extra_special_tokens].flat().flatMap((token: unknown) => {
    if (typeof token === "string") return [token];
    return isJsonObject(token) && typeof token.content === "string" ? [token.content] : [];
  });
}
