/**
 * Text generation over an Executable: prompt in chunks (or through an encoder), decode or beam search, text as it
 * becomes whole, stop strings, limits. Knows neither files nor devices.
 */
import type { DecodeRequest } from "../backend.ts";
import { beamSearch, type FoundSequence } from "./beam-search/search.ts";
import { AbortError, ModelComposeError } from "../../base/errors.ts";
import type {
  BeamSequence,
  FinishReason,
  GenerateOptions,
  GenerateResult,
  StreamPart,
  Timings,
} from "./types.ts";
import { generatedText, wholeText, type GeneratedText } from "./generated-text.ts";
import { checkIds, prepareJob, promptTooLong, type GeneratorParts, type Job } from "./request.ts";
import { decodeOnHost } from "./host-decode.ts";
import { Slots } from "../../base/async/slots.ts";
import { chunksOf, encode, prefill, PrefillReport, type Chunk } from "./prefill.ts";
import type { ResolvedGeneration } from "./options.ts";

export type { StopStrings, TextCodec } from "./generated-text.ts";
export type { GeneratorParts } from "./request.ts";

/** Logits of every position. */
export interface ForwardResult {
  logits: Float32Array;
  /** [positions, vocabulary] */
  shape: [number, number];
}

/** 4 GiB of f32: what one typed array should hold. */
const MAX_LOGITS = 2 ** 30;

/** Where the pieces of a generation go. */
interface Sink {
  emit: (part: StreamPart) => void;
  /** False: nobody wants more, the generation ends. */
  isOpen: () => boolean;
}

/** The rows whose last one's logits choose the first token. */
interface FirstRows extends Chunk {
  sourceLength: number | undefined;
  onProgress: ((fraction: number) => void) | undefined;
  /** When work began, by performance.now(). */
  start: number;
}

/** What one way of choosing tokens came to. */
interface Outcome {
  sequences: { tokens: number[]; newText: string; finishReason: FinishReason; score?: number }[];
  timings: Timings;
}

export class Generator {
  readonly #parts: GeneratorParts;
  /** One generation (or evaluation) at a time: they share the KV slot. */
  readonly #turn = new Slots(1);

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
        if (part !== undefined) {
          yield part;
        } else if (isDone) {
          break;
        } else {
          await new Promise<void>((resolve) => (wake = resolve));
        }
      }
      const result = await finished;
      yield { text: "", tokens: [], result };
    } finally {
      isOpen = false;
      await settled;
    }
  }

  /**
   * Logits of every position of one sequence; for evaluation. No state is kept.
   *
   * @param ids the sequence; of an encoder–decoder what the encoder reads
   * @param options.decoderIds of an encoder–decoder: the decoder's sequence. Default: its start token.
   */
  async forward(
    ids: readonly number[],
    { decoderIds, signal }: { decoderIds?: readonly number[]; signal?: AbortSignal } = {},
  ): Promise<ForwardResult> {
    const { executable, vocabSize, decoderStartTokenId } = this.#parts;
    const { contextLength } = executable;
    const given = checkIds(this.#parts, ids);
    if (given.length > contextLength) {
      throw promptTooLong(this.#parts, given.length);
    }
    const isSeq2seq = decoderStartTokenId !== undefined;
    if (!isSeq2seq && decoderIds !== undefined) {
      throw new ModelComposeError(
        "invalid-argument",
        "decoderIds were given; the model has no decoder apart.",
        {
          remedy: "Leave them out.",
        },
      );
    }
    const tokens = isSeq2seq ? checkIds(this.#parts, decoderIds ?? [decoderStartTokenId]) : given;
    if (tokens.length > contextLength) {
      throw new ModelComposeError(
        "invalid-input",
        `The decoder's sequence has ${tokens.length} tokens; its context holds ${contextLength}.`,
        { remedy: "Shorten it, or load the model with a larger contextLength." },
      );
    }
    if (tokens.length * vocabSize > MAX_LOGITS) {
      throw new ModelComposeError(
        "invalid-argument",
        `${tokens.length} positions of ${vocabSize} logits are more than one array of ${MAX_LOGITS} numbers holds.`,
        { remedy: `Give at most ${Math.floor(MAX_LOGITS / vocabSize)} tokens at once.` },
      );
    }
    return this.#turn.run(async () => {
      const logits = new Float32Array(tokens.length * vocabSize);
      if (isSeq2seq) {
        await encode(executable, given, undefined, signal);
      }
      for (const { rows, position } of chunksOf(tokens, executable.maxRows)) {
        const result = await executable.run(
          {
            tokens: rows,
            slots: new Int32Array(rows.length),
            positions: rows.map((_, r) => position + r),
            sourceLength: isSeq2seq ? given.length : undefined,
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
    const job = prepareJob(this.#parts, prompt, options);
    return this.#turn.run(() => this.#work(job, options, sink), options.signal);
  }

  async #work(job: Job, options: GenerateOptions, sink: Sink): Promise<GenerateResult> {
    const { executable, decoderStartTokenId } = this.#parts;
    const { ids, begin, settings, warnings } = job;
    const { signal } = options;
    const start = performance.now();
    const report = new PrefillReport(options.onPrefill, ids.length);
    const isSeq2seq = decoderStartTokenId !== undefined;
    if (isSeq2seq) {
      await encode(executable, ids, report, signal);
    }
    const last = isSeq2seq ? { rows: begin, position: 0 } : await prefill(executable, begin, report, signal);
    const first: FirstRows = {
      ...last,
      start,
      sourceLength: isSeq2seq ? ids.length : undefined,
      onProgress: isSeq2seq ? undefined : report.within(last.position, last.rows.length),
    };
    const isSearch = settings.beams.count > 1;
    const { sequences, timings } = isSearch
      ? await this.#search(job, first, sink, signal)
      : await this.#decode(job, first, sink, signal);

    const [best] = sequences;
    const prefix = settings.returnFullText && !isSeq2seq ? (job.promptText ?? "") : "";
    const found = sequences.map((sequence) => ({ ...sequence, text: prefix + sequence.newText }));
    const { tokens, newText, finishReason } = best;
    return {
      text: prefix + newText,
      newText,
      tokens,
      finishReason,
      ...(isSearch ? { sequences: found as BeamSequence[] } : {}),
      usage: {
        promptTokens: ids.length,
        completionTokens: sequences.reduce((sum, sequence) => sum + sequence.tokens.length, 0),
      },
      timings,
      seed: settings.sampling.seed,
      warnings,
    };
  }

  /** Token by token: chosen on the device where it can, else here. */
  async #decode(job: Job, first: FirstRows, sink: Sink, signal: AbortSignal | undefined): Promise<Outcome> {
    const { executable, codec, vocabSize } = this.#parts;
    const { settings, processing, limit } = job;
    const { eosTokenIds, rules } = processing;
    const text = this.#text(settings);
    const tokens: number[] = [];
    let finishReason = job.limitReason as FinishReason;
    let newText = "";
    let unsent: number[] = [];
    const send = (piece: string): void => {
      newText += piece;
      if (piece === "" && codec !== undefined) {
        return;
      } // the next piece of text takes its tokens along
      sink.emit({ text: piece, tokens: unsent });
      unsent = [];
    };
    let firstAt = first.start;
    let lastAt = first.start;
    const request: DecodeRequest = {
      tokens: first.rows,
      slot: 0,
      position: first.position,
      sourceLength: first.sourceLength,
      count: limit,
      sampling: settings.sampling,
      rules,
      history: job.begin,
      eosTokenIds,
      minNewTokens: processing.minNewTokens,
      sequence: settings.sequence,
      onProgress: first.onProgress,
      onToken: (token) => {
        lastAt = performance.now();
        if (tokens.length === 0) {
          firstAt = lastAt;
        }
        tokens.push(token);
        unsent.push(token);
        // A token forced at the limit is no end that the model has found.
        if (tokens.length === limit && rules?.forcedEosTokenIds.includes(token) === true) {
          return false;
        }
        if (eosTokenIds.includes(token)) {
          finishReason = "eos";
          return false;
        }
        const { emit: piece, stopped } = text.push(token);
        if (stopped !== undefined) {
          finishReason = "stop";
        }
        send(piece);
        return stopped === undefined && sink.isOpen();
      },
    };
    if (executable.canChoose(request)) {
      await executable.decode(request, signal);
    } else {
      await decodeOnHost(executable, request, vocabSize, signal);
    }
    if (signal?.aborted) {
      throw new AbortError(signal.reason);
    }
    if (finishReason !== "stop") {
      const { emit: rest, stopped } = text.finish();
      if (stopped !== undefined) {
        finishReason = "stop";
      }
      if (rest !== "") {
        send(rest);
      }
    }
    if (unsent.length > 0) {
      sink.emit({ text: "", tokens: unsent });
    }
    const prefillSeconds = (firstAt - first.start) / 1000;
    return {
      sequences: [{ tokens, newText, finishReason }],
      timings: timingsOf(job.ids.length, prefillSeconds, (lastAt - firstAt) / 1000, tokens.length),
    };
  }

  /** Several sequences at once; nothing is known of the text before the end. */
  async #search(job: Job, first: FirstRows, sink: Sink, signal: AbortSignal | undefined): Promise<Outcome> {
    const { executable, vocabSize } = this.#parts;
    const { settings, processing } = job;
    let promptAt = first.start;
    const found = await beamSearch(
      executable,
      {
        vocabSize,
        tokens: first.rows,
        position: first.position,
        sourceLength: first.sourceLength,
        prompt: [...job.begin],
        limit: job.limit,
        beams: settings.beams,
        sampling: settings.sampling,
        processing,
        sequence: settings.sequence,
        holdsStop:
          settings.stop.length === 0
            ? undefined
            : (tokens) => wholeText(this.#text(settings), tokens).isStopped,
        onProgress: first.onProgress,
        onPrompt: () => (promptAt = performance.now()),
        isOpen: sink.isOpen,
      },
      signal,
    );
    const sequences = found.map((sequence) => this.#sequence(sequence, job));
    const [{ newText, tokens }] = sequences;
    sink.emit({ text: newText, tokens });
    const end = performance.now();
    const timings = timingsOf(
      job.ids.length,
      (promptAt - first.start) / 1000,
      (end - promptAt) / 1000,
      tokens.length,
    );
    return { sequences, timings: { ...timings, timeToFirstTokenSeconds: (end - first.start) / 1000 } };
  }

  #sequence({ tokens, score, end }: FoundSequence, job: Job): Outcome["sequences"][number] {
    const { eosTokenIds, rules } = job.processing;
    const last = tokens[tokens.length - 1] ?? -1;
    const isForced = end === "limit" && rules?.forcedEosTokenIds.includes(last) === true;
    const isEnd = isForced || eosTokenIds.includes(last);
    const { text, isStopped } = wholeText(this.#text(job.settings), isEnd ? tokens.slice(0, -1) : tokens);
    const finishReason = isStopped ? "stop" : end === "limit" ? job.limitReason : end;
    return { tokens: [...tokens], newText: text, finishReason, score };
  }

  #text({ stop }: ResolvedGeneration): GeneratedText {
    const { codec, stopStrings } = this.#parts;
    return generatedText(codec, stop.length === 0 ? undefined : stopStrings(stop));
  }
}

function timingsOf(
  promptTokens: number,
  prefillSeconds: number,
  decodeSeconds: number,
  newTokens: number,
): Timings {
  return {
    timeToFirstTokenSeconds: prefillSeconds,
    prefillSeconds,
    decodeSeconds,
    prefillTokensPerSecond: rate(promptTokens, prefillSeconds),
    decodeTokensPerSecond: rate(newTokens - 1, decodeSeconds),
  };
}

function rate(count: number, seconds: number): number {
  return count > 0 && seconds > 0 ? count / seconds : 0;
}
