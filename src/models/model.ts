/** A loaded model: the library's front door. */
import type { Executable } from "../runtime/backend.ts";
import { ModelComposeError, throwIfAborted } from "../base/errors.ts";
import type { DeviceInfo } from "../runtime/device-types.ts";
import type {
  Architecture,
  GenerateOptions,
  GenerateResult,
  StreamPart,
} from "../runtime/generation/types.ts";
import type { Embedding, EmbedOptions } from "../runtime/generation/embed.ts";
import type { ForwardResult } from "../runtime/generation/forward.ts";
import { Generator } from "../runtime/generation/generator.ts";
import { GrammarThread } from "../runtime/grammar/grammar-thread.ts";
import { resolveGenerateOptions } from "../runtime/generation/options.ts";
import type { Program } from "../runtime/program.ts";
import { formatOfPrecision } from "../runtime/checkpoint/weight-source.ts";
import { resolveLoadOptions, type LoadOptions, type LoadReports } from "./load-options.ts";
import {
  Chat,
  type ChatOptions,
  type ChatPart,
  type ChatResult,
  type RenderChatOptions,
} from "./chat/chat.ts";
import type { ChatMessage } from "./chat/messages.ts";
import { ChatPrompts } from "./chat/prompts.ts";
import { lateContext, type SizedLoadOptions } from "./context-sizing.ts";
import { loadOnDevice } from "../runtime/devices.ts";
import { DEFAULT_CONTEXT } from "../runtime/load-options.ts";
import { otherRuntimeNotice } from "../runtime/platform/javascript-runtime.ts";
import { WatchedExecutable } from "../runtime/watched-executable.ts";
import {
  decoderStartToken,
  endTokens,
  mergeGenerationConfigs,
  readGenerationConfig,
} from "./config/generation.ts";
import { describeModel } from "./describe-model.ts";
import type { HubOptions } from "./hub/options.ts";
import { resolveModelDirectory, type ResolveOptions } from "./hub/resolve.ts";
import { requirePurpose } from "./model-purpose.ts";
import { openModel } from "./open-model.ts";
import { StopMatcher } from "./tokenizer/stop-strings.ts";
import { hasTokenizer, loadTokenizer as loadTokenizerFrom, type Tokenizer } from "./tokenizer/tokenizer.ts";

/** Bytes of memory that a model takes. */
export interface ModelMemory {
  /** Bytes of the weights. */
  readonly weightBytes: number;
  /** Bytes of the KV cache when it is full; they are taken as texts grow. */
  readonly kvCacheBytes: number;
  /** Bytes of activations and scratch. */
  readonly workBytes: number;
}

/** A model in memory, ready to generate. */
export interface Model {
  /** The model's folder. */
  readonly directory: string;
  /** What the model runs on. */
  readonly device: DeviceInfo;
  /** Whether it continues a prompt, or answers it as an encoder–decoder. */
  readonly architecture: Architecture;
  /** How many tokens, of prompt and new text, the KV cache holds. */
  readonly contextLength: number;
  /** What its matrices are held as, for example "bfloat16" or "int8"; undefined where the checkpoint mixes formats. */
  readonly precision: string | undefined;
  /** What it takes of the device's memory. */
  readonly memory: ModelMemory;
  /** Number of logits of a position. */
  readonly vocabSize: number;
  /** Whether there is a tokenizer. Without it, prompts are token ids and `tokenizer` throws "not-found". */
  readonly hasTokenizer: boolean;
  /** Text to token ids and back. @throws ModelComposeError "not-found" where the model has none */
  readonly tokenizer: Tokenizer;
  /**
   * Computes the logits of every position of one sequence, [T, vocabSize] f32, without keeping a cache; for evaluation.
   *
   * @param ids T token ids, 1 <= T <= contextLength; for an encoder–decoder, what the encoder reads
   * @param options.decoderIds for an encoder–decoder, the T token ids of the decoder. Default: its start token.
   * @throws ModelComposeError "invalid-input" for ids that are none of the vocabulary or do not fit the context,
   *   "invalid-argument" for decoderIds that the model has no use for, or too many logits, "disposed"; AbortError
   */
  forward(
    ids: readonly number[],
    options?: { decoderIds?: readonly number[]; signal?: AbortSignal },
  ): Promise<ForwardResult>;
  /**
   * Continues a prompt. Calls go on side by side in shared steps, as many as the model was loaded for (`maxConcurrency`) and as
   * the memory for them holds (`kvMemory`); others wait their turn. Each has the result that it has alone.
   *
   * @throws ModelComposeError "invalid-argument" for an option, "invalid-input" for a prompt, "disposed"; AbortError
   */
  generate(promptOrIds: string | readonly number[], options?: GenerateOptions): Promise<GenerateResult>;
  /**
   * Does what `generate` does, piece by piece. The texts of all pieces joined are `newText`; the last piece has `result`.
   * Leaving the loop stops the generation.
   */
  stream(
    promptOrIds: string | readonly number[],
    options?: GenerateOptions,
  ): AsyncGenerator<StreamPart, void, undefined>;
  /**
   * Answers a conversation through the model's chat template. Reasoning and calls of tools are told apart from the
   * answer; options that are not given are those of `generate`.
   *
   * @throws what `generate` throws; "not-found" for a model without a tokenizer or a chat template, "invalid-input" for
   *   messages that the template refuses
   */
  chat(messages: readonly ChatMessage[], options?: ChatOptions): Promise<ChatResult>;
  /**
   * Does what `chat` does, piece by piece, each marked as reasoning, content or a call of a tool. The last piece has
   * `result`. Leaving the loop stops the generation.
   */
  streamChat(
    messages: readonly ChatMessage[],
    options?: ChatOptions,
  ): AsyncGenerator<ChatPart, void, undefined>;
  /**
   * Makes a vector of a text: what the last norm gives for its last token (or, pooled by "mean", for all), with the length 1.
   * Waits its turn as a generation does.
   *
   * @throws ModelComposeError "invalid-input" for an encoder–decoder and for a text that is empty or does not fit the context,
   *   "invalid-argument", "disposed"; AbortError
   */
  embed(promptOrIds: string | readonly number[], options?: EmbedOptions): Promise<Embedding>;
  /**
   * Counts the tokens of a prompt as `generate` reads it, or of a conversation as `chat` does.
   *
   * @throws "not-found" for a model without a tokenizer; what `applyChatTemplate` throws; AbortError
   */
  countTokens(
    prompt: string | readonly ChatMessage[],
    options?: RenderChatOptions & { signal?: AbortSignal },
  ): Promise<number>;
  /** Renders the prompt that `chat` gives the model, as text. @throws what `chat` throws for templates and messages */
  applyChatTemplate(messages: readonly ChatMessage[], options?: RenderChatOptions): Promise<string>;
  /**
   * Resolves with the reason when the device has lost the model beyond repair (a worker died, a GPU was reset, a pass
   * hung): every call fails from then on, and loading it again is all that helps.
   */
  readonly lost: Promise<ModelComposeError>;
  /** Frees everything that the model holds; running calls reject. Idempotent. */
  dispose(): Promise<void>;
  /** Does what `dispose` does: `await using model = …` frees the model where its block ends. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Loads a model from a local folder or from the Hugging Face cache, into which it is fetched where it is not complete
 * there.
 *
 * @param pathOrHubId "./folder", an absolute path, or a repository id such as "HuggingFaceTB/SmolLM3-3B"
 * @throws ModelComposeError "not-found", "invalid-config", "invalid-checkpoint", "unsupported", "out-of-memory",
 *   "download" (what is fetched from the hub), "invalid-argument" (an option), "device" (a GPU that is not there or
 *   fails), AbortError
 */
export function loadModel(pathOrHubId: string, options: LoadOptions = {}): Promise<Model> {
  return load(pathOrHubId, options, {});
}

/** Does what `loadModel` does, with a context that is counted when the tokenizer is there, and in memory that models share. */
export function loadModelSized(pathOrHubId: string, options: SizedLoadOptions): Promise<Model> {
  const { sizing, room, ...rest } = options;
  return load(pathOrHubId, rest, { sizing, room });
}

async function load(
  pathOrHubId: string,
  options: LoadOptions,
  { sizing, room }: Pick<SizedLoadOptions, "sizing" | "room">,
): Promise<Model> {
  const { signal, onProgress, onNotice, onDetail } = options;
  const request = resolveLoadOptions(options);
  throwIfAborted(signal);
  const elsewhere = otherRuntimeNotice();
  if (elsewhere !== undefined) {
    onNotice?.(elsewhere);
  }
  onProgress?.({ stage: "config", done: 0, total: 1 });
  const directory = await resolveModelDirectory(pathOrHubId, {
    ...hubOptions(options),
    // This is checked before gigabytes of weights are fetched for nothing.
    check: async (folder) =>
      requirePurpose((await describeModel(folder)).program, folder, pathOrHubId, request),
  });
  const [{ config, program, checkpoint, notices }, generationFile] = await Promise.all([
    openModel(directory),
    readGenerationConfig(directory),
  ]);
  await requirePurpose(program, directory, pathOrHubId, request);
  for (const line of notices) {
    onNotice?.(line);
  }
  const generation = mergeGenerationConfigs(generationFile, config.generationDefaults);
  const defaults = resolveGenerateOptions({}, generation.settings); // a bad file is found before the weights are read
  const decoderStartTokenId =
    program.architecture === "seq2seq"
      ? decoderStartToken(generation, program.vocabSize, directory)
      : undefined;
  const slots = request.maxBeams ?? defaults.beams.count;
  const format = formatOfPrecision(request.precision);
  onProgress?.({ stage: "config", done: 1, total: 1 });

  const asked = request.contextLength ?? DEFAULT_CONTEXT;
  const most = Math.min(asked, config.maxPositions);
  // Only a number that somebody gave is worth a word: a context that was counted is nobody's.
  if (request.contextLength !== undefined && asked > most && asked !== Infinity) {
    onNotice?.(`The context length was lowered from ${asked} to the model's maximum, ${most}.`);
  }
  const chat = new ChatPrompts(directory);
  let precision: string | undefined;

  // The tokenizer is built beside the weights; whichever fails first stops the other.
  const stop = new AbortController();
  const either = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const loadingTokenizer = loadOptionalTokenizer(directory, either);
  const contextLength =
    sizing === undefined
      ? most
      : lateContext(sizing, { tokenizer: loadingTokenizer, chat, most, signal: either });
  const loadingWeights = loadOnDevice({
    name: pathOrHubId,
    program,
    checkpoint,
    request,
    room,
    onNotice,
    onDetail,
    onHeld: (held) => (precision = held),
    options: {
      contextLength,
      slots,
      format,
      activations: request.activations,
      kvPrecision: request.kvPrecision,
      quantizedCache: request.quantizedCache ? pathOrHubId : undefined,
    },
    hooks: {
      signal: either,
      onNotice,
      onWeights: (done, total) => onProgress?.({ stage: "weights", done, total }),
    },
  });
  const [tokenizer, loaded] = await bothOrNeither(loadingTokenizer, loadingWeights, () => {
    stop.abort();
  });
  const executable = new WatchedExecutable(loaded, request.passTimeout);
  try {
    onProgress?.({ stage: "ready", done: 1, total: 1 });
    const grammars =
      tokenizer && new GrammarThread(program.vocabSize, (token) => tokenizer.tokenBytes(token));
    const generator = new Generator({
      executable,
      vocabSize: program.vocabSize,
      decoderStartTokenId,
      slots,
      codec: tokenizer,
      stopStrings: (stops) => new StopMatcher(stops),
      eosTokenIds: endTokens(generation, program.vocabSize, onNotice),
      generationConfig: generation.settings,
      grammars,
    });
    return new LoadedModel({
      directory,
      executable,
      generator,
      grammars,
      program,
      chat,
      tokenizer,
      precision,
    });
  } catch (error) {
    await executable.dispose();
    throw error;
  }
}

/**
 * Loads a model's tokenizer alone, without weights.
 *
 * @param pathOrHubId as for `loadModel`
 * @throws ModelComposeError "not-found" for a model or a tokenizer that is not there, "invalid-config", "unsupported" for
 *   another kind of tokenizer, "download", "invalid-argument"; AbortError
 */
export async function loadTokenizer(
  pathOrHubId: string,
  options: HubOptions & LoadReports = {},
): Promise<Tokenizer> {
  const directory = await resolveModelDirectory(pathOrHubId, {
    ...hubOptions(options),
    requires: "tokenizer",
  });
  return loadTokenizerFrom(directory, { signal: options.signal });
}

/** The options that finding, and fetching, a model needs. */
function hubOptions(options: HubOptions & LoadReports): ResolveOptions {
  const { revision, token, cacheDirectory, localFilesOnly, signal, onProgress, onNotice } = options;
  return { revision, token, cacheDirectory, localFilesOnly, signal, onProgress, onNotice };
}

async function loadOptionalTokenizer(directory: string, signal: AbortSignal): Promise<Tokenizer | undefined> {
  return (await hasTokenizer(directory)) ? loadTokenizerFrom(directory, { signal }) : undefined;
}

/** Waits for two promises; when one fails, stops and frees the other. */
async function bothOrNeither<T>(
  first: Promise<T>,
  second: Promise<Executable>,
  stop: () => void,
): Promise<[T, Executable]> {
  try {
    return await Promise.all([first, second]);
  } catch (error) {
    stop();
    await first.catch(() => undefined);
    await second.then(
      (executable) => executable.dispose(),
      () => undefined,
    );
    throw error;
  }
}

interface LoadedParts {
  readonly directory: string;
  readonly executable: Executable;
  readonly generator: Generator;
  readonly grammars: GrammarThread | undefined;
  readonly program: Pick<Program, "architecture" | "vocabSize">;
  readonly chat: ChatPrompts;
  readonly tokenizer: Tokenizer | undefined;
  readonly precision: string | undefined;
}

const EMPTY_ANSWER =
  "The model ended at once, with no text. It has a chat template, which a plain prompt does not go through: for a question or " +
  'an instruction use "chat()".';

class LoadedModel implements Model {
  readonly directory: string;
  readonly architecture: Architecture;
  readonly vocabSize: number;
  readonly precision: string | undefined;
  readonly #chat: Chat;
  readonly #prompts: ChatPrompts;
  readonly #tokenizer: Tokenizer | undefined;
  readonly #executable: Executable;
  readonly #generator: Generator;
  readonly #grammars: GrammarThread | undefined;
  #isDisposed = false;

  constructor({
    directory,
    executable,
    generator,
    grammars,
    program,
    chat,
    tokenizer,
    precision,
  }: LoadedParts) {
    this.directory = directory;
    this.precision = precision;
    this.architecture = program.architecture;
    this.vocabSize = program.vocabSize;
    this.#prompts = chat;
    this.#chat = new Chat({
      prompts: chat,
      requireTokenizer: () => void this.tokenizer,
      generate: (prompt, options) => generator.generate(prompt, options),
      stream: (prompt, options) => generator.stream(prompt, options),
    });
    this.#tokenizer = tokenizer;
    this.#executable = executable;
    this.#generator = generator;
    this.#grammars = grammars;
  }

  get device(): DeviceInfo {
    return this.#executable.device;
  }

  get lost(): Promise<ModelComposeError> {
    return this.#executable.lost;
  }

  get hasTokenizer(): boolean {
    return this.#tokenizer !== undefined;
  }

  get tokenizer(): Tokenizer {
    if (this.#tokenizer !== undefined) {
      return this.#tokenizer;
    }
    throw new ModelComposeError("not-found", `The model in "${this.directory}" has no tokenizer.`, {
      remedy:
        "Give token ids, or add the model's tokenizer.json (or vocab.json and merges.txt) to its folder.",
    });
  }

  get contextLength(): number {
    return this.#executable.contextLength;
  }

  get memory(): ModelMemory {
    const { weightBytes, kvCacheBytes, workBytes } = this.#executable.memory;
    return { weightBytes, kvCacheBytes, workBytes };
  }

  async forward(
    ids: readonly number[],
    options?: { decoderIds?: readonly number[]; signal?: AbortSignal },
  ): Promise<ForwardResult> {
    this.#checkOpen();
    return this.#generator.forward(ids, options);
  }

  async generate(prompt: string | readonly number[], options?: GenerateOptions): Promise<GenerateResult> {
    this.#checkOpen();
    return this.#withChatWarning(prompt, await this.#generator.generate(prompt, options));
  }

  async *stream(
    prompt: string | readonly number[],
    options?: GenerateOptions,
  ): AsyncGenerator<StreamPart, void, undefined> {
    this.#checkOpen();
    for await (const part of this.#generator.stream(prompt, options)) {
      yield part.result === undefined
        ? part
        : { ...part, result: await this.#withChatWarning(prompt, part.result) };
    }
  }

  async chat(messages: readonly ChatMessage[], options?: ChatOptions): Promise<ChatResult> {
    this.#checkOpen();
    return this.#chat.generate(messages, options);
  }

  async *streamChat(
    messages: readonly ChatMessage[],
    options?: ChatOptions,
  ): AsyncGenerator<ChatPart, void, undefined> {
    this.#checkOpen();
    yield* this.#chat.stream(messages, options);
  }

  async applyChatTemplate(messages: readonly ChatMessage[], options?: RenderChatOptions): Promise<string> {
    return this.#chat.render(messages, options);
  }

  async embed(promptOrIds: string | readonly number[], options?: EmbedOptions): Promise<Embedding> {
    this.#checkOpen();
    return this.#generator.embed(promptOrIds, options);
  }

  async countTokens(
    prompt: string | readonly ChatMessage[],
    { signal, ...options }: RenderChatOptions & { signal?: AbortSignal } = {},
  ): Promise<number> {
    const isText = typeof prompt === "string";
    const text = isText ? prompt : await this.#chat.render(prompt, options);
    // The template has written the special tokens of a conversation.
    return (await this.tokenizer.encodeAsync(text, { addSpecialTokens: isText, signal })).length;
  }

  async dispose(): Promise<void> {
    this.#isDisposed = true;
    await Promise.all([this.#executable.dispose(), this.#grammars?.dispose()]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /**
   * Says why there may be no text: a model that was trained on conversations takes a plain prompt for one that has ended.
   */
  async #withChatWarning(
    prompt: string | readonly number[],
    result: GenerateResult,
  ): Promise<GenerateResult> {
    const isPlain = typeof prompt === "string" && result.newText === "" && result.finishReason === "eos";
    if (!isPlain || !(await this.#prompts.hasTemplate())) {
      return result;
    }
    return { ...result, warnings: [...result.warnings, EMPTY_ANSWER] };
  }

  #checkOpen(): void {
    if (!this.#isDisposed) {
      return;
    }
    throw new ModelComposeError("disposed", "The model was disposed.", {
      remedy: "Load it again with loadModel().",
    });
  }
}
