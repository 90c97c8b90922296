/**
 * Text generation over an Executable: prompt in chunks, decode, text as it becomes whole, stop strings, limits.
 * Knows neither files nor devices.
 */
import type { Executable } from "./backend.ts";
import { AbortError, ModelComposeError, throwIfAborted } from "./errors.ts";
import type { FinishReason, GenerateOptions, GenerateResult, StreamPart } from "./generation-types.ts";
import { Mutex } from "./mutex.ts";
import { resolveGenerateOptions, type ResolvedGeneration } from "./sampling-options.ts";

/** What generation needs of a tokenizer. */
export interface TextCodec {
  encode(text: string): number[];
  decode(ids: readonly number[]): string;
  incrementalDecoder(): { push(id: number): string; finish(): string };
}

/** Cuts a stream of text before the first of several strings. */
export interface StopStrings {
  push(text: string): { emit: string; stopped?: string };
  finish(): string;
}

export interface GeneratorParts {
  executable: Executable;
  vocabSize: number;
  /** Absent: token ids only. */
  codec?: TextCodec;
  stopStrings: (stops: readonly string[]) => StopStrings;
  eosTokenIds: readonly number[];
  /** generation_config.json, as it is written there. */
  generationConfig: Readonly<Record<string, unknown>>;
}

/** Logits of every position. */
export interface ForwardResult {
  logits: Float32Array;
  /** [positions, vocabulary] */
  shape: [number, number];
}

/** 4 GiB of f32: what one typed array should hold. */
const MAX_LOGITS = 2 ** 30;
const PREFILL_REPORT_MILLISECONDS = 200;

/** Where the pieces of a generation go. */
interface Sink {
  emit: (part: StreamPart) => void;
  /** False: nobody wants more, the generation ends. */
  isOpen: () => boolean;
}

/** A request whose prompt is known to fit. */
interface Job {
  promptText: string | undefined;
  ids: Int32Array;
  settings: ResolvedGeneration;
  /** Tokens to choose at most, and why there are no more. */
  limit: number;
  limitReason: "length" | "context";
  warnings: string[];
}

export class Generator {
  readonly #parts: GeneratorParts;
  /** One generation (or evaluation) at a time: they share the KV slot. */
  readonly #turn = new Mutex();

  constructor(parts: GeneratorParts) {
    this.#parts = parts;
  }

  async generate(prompt: string | readonly number[], options: GenerateOptions = {}): Promise<GenerateResult> {
    return this.#run(prompt, options, { emit: () => undefined, isOpen: () => true });
  }

  /** Pieces of text as they become whole. Leaving the loop early stops the generation. */
  async *stream(
    prompt: string | readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<StreamPart, void, undefined> {
    const ready: StreamPart[] = [];
    let wake: () => void = () => undefined;
    let isOpen = true;
    let isDone = false;
    const finished = this.#run(prompt, options, {
      emit: (part) => {
        ready.push(part);
        wake();
      },
      isOpen: () => isOpen,
    });
    const settled = finished.then(
      () => undefined,
      () => undefined,
    );
    void settled.then(() => {
      isDone = true;
      wake();
    });
    try {
      for (;;) {
        const part = ready.shift();
        if (part !== undefined) yield part;
        else if (isDone) break;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
      const result = await finished;
      yield { text: "", tokens: [], result };
    } finally {
      isOpen = false;
      await settled;
    }
  }

  /** Logits of every position of one sequence; for evaluation. No state is kept. */
  async forward(ids: readonly number[], signal?: AbortSignal): Promise<ForwardResult> {
    const { executable, vocabSize } = this.#parts;
    const tokens = this.#checkIds(ids);
    if (tokens.length > executable.contextLength)
      throw promptTooLong(tokens.length, executable.contextLength);
    if (tokens.length * vocabSize > MAX_LOGITS) {
      throw new ModelComposeError(
        "invalid-argument",
        `${tokens.length} positions of ${vocabSize} logits are more than one array of ${MAX_LOGITS} numbers holds.`,
        { remedy: `Give at most ${Math.floor(MAX_LOGITS / vocabSize)} tokens at once.` },
      );
    }
    return this.#turn.run(async () => {
      const logits = new Float32Array(tokens.length * vocabSize);
      for (const chunk of chunksOf(tokens, executable.maxRows)) {
        const { rows, position } = chunk;
        const result = await executable.run(
          {
            tokens: rows,
            slots: new Int32Array(rows.length),
            positions: rows.map((_, r) => position + r),
            logitRows: rows.map((_, r) => r),
          },
          signal,
        );
        logits.set(result.logits, position * vocabSize);
      }
      return { logits, shape: [tokens.length, vocabSize] };
    }, signal);
  }

  async #run(
    prompt: string | readonly number[],
    options: GenerateOptions,
    sink: Sink,
  ): Promise<GenerateResult> {
    const job = this.#prepare(prompt, options);
    return this.#turn.run(() => this.#work(job, options, sink), options.signal);
  }

  /** Everything that can be refused is refused here, before any work. */
  #prepare(prompt: string | readonly number[], options: GenerateOptions): Job {
    const { executable, codec, generationConfig } = this.#parts;
    const { contextLength } = executable;
    throwIfAborted(options.signal);
    const settings = resolveGenerateOptions(options, generationConfig);
    if (settings.stop.length > 0 && codec === undefined) throw noTokenizer("Stop strings need");
    const warnings = [...settings.warnings];
    let ids = this.#checkIds(this.#encode(prompt));
    const { maxPromptTokens } = settings;
    if (maxPromptTokens !== undefined && ids.length > maxPromptTokens) {
      warnings.push(`The prompt of ${ids.length} tokens was cut to its last ${maxPromptTokens}.`);
      ids = ids.slice(-maxPromptTokens);
    }
    if (ids.length > contextLength) throw promptTooLong(ids.length, contextLength);
    const room = contextLength - ids.length + 1;
    const wanted =
      settings.maxNewTokens ??
      (settings.maxLength === undefined ? room : Math.max(1, settings.maxLength - ids.length));
    if (wanted > room && settings.maxNewTokens !== undefined) {
      // Without the option's name: a compose file, the command line and the library each have their own.
      warnings.push(
        `The limit of ${wanted} new tokens was lowered to ${room}: the context of ${contextLength} tokens holds no more ` +
          `after a prompt of ${ids.length}.`,
      );
    }
    return {
      promptText: typeof prompt === "string" ? prompt : codec?.decode([...ids]),
      ids,
      settings,
      limit: Math.min(wanted, room),
      limitReason: wanted < room || settings.maxNewTokens === room ? "length" : "context",
      warnings,
    };
  }

  async #work(job: Job, options: GenerateOptions, sink: Sink): Promise<GenerateResult> {
    const { executable, codec } = this.#parts;
    const { ids, settings, warnings } = job;
    const { signal } = options;
    const text = this.#textOf(settings);
    const tokens: number[] = [];
    const eos = settings.ignoreEos ? [] : this.#parts.eosTokenIds;
    let finishReason = job.limitReason as FinishReason;
    let newText = "";
    let unsent: number[] = [];
    const send = (piece: string): void => {
      newText += piece;
      if (piece === "" && codec !== undefined) return; // the next piece of text takes its tokens along
      sink.emit({ text: piece, tokens: unsent });
      unsent = [];
    };

    const start = performance.now();
    let firstAt = start;
    let lastAt = start;
    const report = new PrefillReport(options.onPrefill, ids.length);
    const last = await this.#prefill(ids, report, signal);
    await executable.decode(
      {
        tokens: last.rows,
        slot: 0,
        position: last.position,
        count: job.limit,
        sampling: settings.sampling,
        history: ids,
        eosTokenIds: eos,
        minNewTokens: settings.minNewTokens,
        sequence: settings.sequence,
        onProgress: report.within(last.position, last.rows.length),
        onToken: (token) => {
          lastAt = performance.now();
          if (tokens.length === 0) firstAt = lastAt;
          tokens.push(token);
          unsent.push(token);
          if (eos.includes(token)) {
            finishReason = "eos";
            return false;
          }
          const { emit: piece, stopped } = text.push(token);
          if (stopped !== undefined) finishReason = "stop";
          send(piece);
          return stopped === undefined && sink.isOpen();
        },
      },
      signal,
    );
    if (signal?.aborted) throw new AbortError(signal.reason);
    if (finishReason !== "stop") {
      const { emit: rest, stopped } = text.finish();
      if (stopped !== undefined) finishReason = "stop";
      if (rest !== "") send(rest);
    }
    if (unsent.length > 0) sink.emit({ text: "", tokens: unsent });

    const prefillSeconds = (firstAt - start) / 1000;
    const decodeSeconds = (lastAt - firstAt) / 1000;
    return {
      text: settings.returnFullText ? (job.promptText ?? "") + newText : newText,
      newText,
      tokens,
      finishReason,
      usage: { promptTokens: ids.length, completionTokens: tokens.length },
      timings: {
        timeToFirstTokenSeconds: prefillSeconds,
        prefillSeconds,
        decodeSeconds,
        prefillTokensPerSecond: rate(ids.length, prefillSeconds),
        decodeTokensPerSecond: rate(tokens.length - 1, decodeSeconds),
      },
      seed: settings.sampling.seed,
      warnings,
    };
  }

  /** Runs all chunks of the prompt but the last, which it returns: the decode begins with it. */
  async #prefill(
    ids: Int32Array,
    report: PrefillReport,
    signal: AbortSignal | undefined,
  ): Promise<{ rows: Int32Array; position: number }> {
    const { executable } = this.#parts;
    const chunks = chunksOf(ids, executable.maxRows);
    for (const { rows, position } of chunks.slice(0, -1)) {
      const slots = new Int32Array(rows.length);
      const positions = rows.map((_, r) => position + r);
      const onProgress = report.within(position, rows.length);
      await executable.run({ tokens: rows, slots, positions, onProgress }, signal);
      report.after(position + rows.length);
    }
    return chunks[chunks.length - 1];
  }

  /** Token ids to text, up to a stop string. */
  #textOf(settings: ResolvedGeneration): {
    push(token: number): { emit: string; stopped?: string };
    finish(): { emit: string; stopped?: string };
  } {
    const { codec, stopStrings } = this.#parts;
    if (codec === undefined) return { push: () => ({ emit: "" }), finish: () => ({ emit: "" }) };
    const decoder = codec.incrementalDecoder();
    if (settings.stop.length === 0) {
      return { push: (token) => ({ emit: decoder.push(token) }), finish: () => ({ emit: decoder.finish() }) };
    }
    const matcher = stopStrings(settings.stop);
    return {
      push: (token) => matcher.push(decoder.push(token)),
      finish: () => {
        const { emit, stopped } = matcher.push(decoder.finish());
        return { emit: stopped === undefined ? emit + matcher.finish() : emit, stopped };
      },
    };
  }

  #encode(prompt: string | readonly number[]): readonly number[] {
    if (typeof prompt !== "string") return prompt;
    const { codec } = this.#parts;
    if (codec === undefined) throw noTokenizer("A prompt of text needs");
    if (prompt === "") throw emptyPrompt();
    return codec.encode(prompt);
  }

  #checkIds(ids: readonly number[]): Int32Array {
    const { vocabSize } = this.#parts;
    if (!Array.isArray(ids) && !ArrayBuffer.isView(ids)) {
      throw new ModelComposeError(
        "invalid-input",
        `The prompt is ${typeof ids}; expected a string or a list of token ids.`,
      );
    }
    if (ids.length === 0) throw emptyPrompt();
    // Not forEach, which passes over the holes of a sparse array.
    for (const [i, id] of ids.entries()) {
      if (Number.isInteger(id) && id >= 0 && id < vocabSize) continue;
      throw new ModelComposeError(
        "invalid-input",
        `Token id ${String(id)} at index ${i} is not in the vocabulary; expected an integer from 0 to ${vocabSize - 1}.`,
      );
    }
    return Int32Array.from(ids);
  }
}

/**
 * From the progress of chunks to that of a prompt. A device reports in the middle of long chunks; this adds the ends of
 * short ones.
 */
class PrefillReport {
  readonly #onPrefill: GenerateOptions["onPrefill"];
  readonly #total: number;
  #reportedAt = performance.now();

  constructor(onPrefill: GenerateOptions["onPrefill"], total: number) {
    this.#onPrefill = onPrefill;
    this.#total = total;
  }

  /** What a device calls in a chunk of `rows` tokens from `position` on. */
  within(position: number, rows: number): ((fraction: number) => void) | undefined {
    if (this.#onPrefill === undefined) return undefined;
    return (fraction) => {
      this.#report(position + Math.floor(rows * fraction));
    };
  }

  after(done: number): void {
    if (performance.now() - this.#reportedAt >= PREFILL_REPORT_MILLISECONDS) this.#report(done);
  }

  #report(done: number): void {
    this.#reportedAt = performance.now();
    this.#onPrefill?.({ done, total: this.#total });
  }
}

/** Pieces of at most `size` tokens and where each begins. */
function chunksOf(ids: Int32Array, size: number): { rows: Int32Array; position: number }[] {
  return Array.from({ length: Math.ceil(ids.length / size) }, (_, i) => ({
    rows: ids.slice(i * size, (i + 1) * size),
    position: i * size,
  }));
}

function rate(count: number, seconds: number): number {
  return count > 0 && seconds > 0 ? count / seconds : 0;
}

function noTokenizer(what: string): ModelComposeError {
  return new ModelComposeError("invalid-input", `${what} a tokenizer; the model's folder has none.`, {
    remedy: "Give token ids, or add the model's tokenizer.json to its folder.",
  });
}

function emptyPrompt(): ModelComposeError {
  return new ModelComposeError("invalid-input", "The prompt is empty; expected at least one token.", {
    remedy: "Give the model some text to continue.",
  });
}

function promptTooLong(tokens: number, contextLength: number): ModelComposeError {
  return new ModelComposeError(
    "invalid-input",
    `The prompt has ${tokens} tokens; the context holds ${contextLength}.`,
    {
      remedy:
        "Shorten the prompt, keep only its end (maxPromptTokens; in a compose file max_input_length), or load the model " +
        "with a larger context (contextLength; in a compose file context_length).",
    },
  );
}
