/**
 * Text generation over an Executable: prompt in chunks (or through an encoder), decode or beam search, text as it
 * becomes whole; any number at once, each with slots of its own. Knows neither files nor devices.
 */
import { Channel } from "../../base/async/channel.ts";
import { searchText } from "./beam-search/search-text.ts";
import { decodeText } from "./decode-text.ts";
import { embedInput, embedTokens, type EmbedOptions, type Embedding } from "./embed.ts";
import { forwardInput, forwardLogits, type ForwardResult } from "./forward.ts";
import type { FirstRows, Sink } from "./outcome.ts";
import { encode, passOf, PrefillReport } from "./prefill.ts";
import { PromptPace } from "./prompt-pace.ts";
import { prepareJob, type GeneratorParts, type Job, type Prompt } from "./request.ts";
import { SequenceSlots, type Holding, type SlotRequest } from "./sequence-slots.ts";
import type { BeamSequence, GenerateOptions, GenerateResult, StreamPart } from "./types.ts";

export class Generator {
  readonly #parts: GeneratorParts;
  readonly #slots: SequenceSlots;
  readonly #pace: PromptPace;
  /** How many texts are decoded now. */
  #decoding = 0;

  constructor(parts: GeneratorParts) {
    this.#parts = parts;
    this.#slots = new SequenceSlots(parts.executable);
    this.#pace = new PromptPace(parts.executable.maxRows);
  }

  /**
   * Generates text (or token ids) after a prompt.
   *
   * @throws ModelComposeError for what `prepareJob` refuses, and what the device throws; AbortError
   */
  async generate(prompt: Prompt, options: GenerateOptions = {}): Promise<GenerateResult> {
    return this.#run(prompt, options, { emit: () => undefined, isOpen: () => true });
  }

  /**
   * Generates as `generate` does, in pieces of text as they become whole. Leaving the loop early stops the generation.
   */
  async *stream(prompt: Prompt, options: GenerateOptions = {}): AsyncGenerator<StreamPart, void, undefined> {
    const parts = new Channel<StreamPart>();
    const sink: Sink = {
      emit: (part) => {
        parts.post(part);
      },
      isOpen: () => !parts.isClosed,
    };
    const settled = this.#run(prompt, options, sink).then(
      (result) => {
        parts.post({ text: "", tokens: [], result });
        parts.close();
      },
      (error: unknown) => {
        parts.close({ error });
      },
    );
    try {
      yield* parts.read();
    } finally {
      await settled;
    }
  }

  /**
   * Logits of every position of one sequence; for evaluation. No state is kept.
   *
   * @param ids the sequence; of an encoder–decoder what the encoder reads
   * @param options.decoderIds of an encoder–decoder: the decoder's sequence. Default: its start token.
   * @throws ModelComposeError as `forwardInput`; AbortError
   */
  async forward(
    ids: readonly number[],
    { decoderIds, signal }: { decoderIds?: readonly number[]; signal?: AbortSignal } = {},
  ): Promise<ForwardResult> {
    const input = forwardInput(this.#parts, ids, decoderIds);
    return this.#holding({ positions: input.tokens.length }, signal, ({ slots }) =>
      forwardLogits(this.#parts, input, slots[0], signal),
    );
  }

  /**
   * Makes a vector of a text.
   *
   * @throws ModelComposeError as `embedInput`; AbortError
   */
  async embed(prompt: Prompt, options: EmbedOptions = {}): Promise<Embedding> {
    const ids = await embedInput(this.#parts, prompt, options);
    return this.#holding({ positions: ids.length }, options.signal, ({ slots }) =>
      embedTokens(this.#parts, ids, slots[0], options),
    );
  }

  async #run(prompt: Prompt, options: GenerateOptions, sink: Sink): Promise<GenerateResult> {
    const job = await prepareJob(this.#parts, prompt, options);
    const { doSample, seed } = job.settings.sampling;
    const seeded = doSample ? withSeed(sink, seed) : sink;
    const { begin, limit, settings } = job;
    const request = {
      ...(settings.cachePrompt && { ids: begin }),
      count: settings.beams.count,
      positions: begin.length + limit - 1,
    };
    return this.#holding(request, options.signal, (holding) => this.#work(job, holding, options, seeded));
  }

  /** Does some work with slots of its own. An encoder's input is one for all slots: whoever has one has them all. */
  async #holding<T>(
    request: Omit<SlotRequest, "count"> & { count?: number },
    signal: AbortSignal | undefined,
    work: (holding: Holding) => Promise<T>,
  ): Promise<T> {
    const { executable, decoderStartTokenId } = this.#parts;
    const whole = { count: executable.slots, positions: executable.contextLength };
    const holding = await this.#slots.take(
      decoderStartTokenId === undefined ? { count: 1, ...request } : whole,
      signal,
    );
    try {
      return await work(holding);
    } finally {
      holding.release();
    }
  }

  async #work(
    job: Job,
    holding: Holding,
    { signal, onPrefill }: GenerateOptions,
    sink: Sink,
  ): Promise<GenerateResult> {
    const { ids, settings, warnings } = job;
    const isSearch = settings.beams.count > 1;
    const first = await this.#readPrompt(job, holding, onPrefill, signal);
    const work = isSearch ? searchText : decodeText;
    this.#decoding++;
    const { sequences, timings } = await work(this.#parts, job, first, sink, signal).finally(
      () => this.#decoding--,
    );
    if (!isSearch && first.sourceLength === undefined) {
      // No pass has read the last token.
      holding.holds([...job.begin, ...sequences[0].tokens.slice(0, -1)]);
    }

    const [{ tokens, newText, finishReason, stopString, logprobs }] = sequences;
    const isSeq2seq = this.#parts.decoderStartTokenId !== undefined;
    const prefix = settings.returnFullText && !isSeq2seq ? (job.promptText ?? "") : "";
    const found = sequences.map((sequence) => ({ ...sequence, text: prefix + sequence.newText }));
    return {
      text: prefix + newText,
      newText,
      tokens,
      finishReason,
      ...(stopString !== undefined && { stopString }),
      ...(logprobs !== undefined && { logprobs }),
      ...(isSearch ? { sequences: found as BeamSequence[] } : {}),
      usage: {
        promptTokens: ids.length,
        ...(first.cached > 0 && { cachedTokens: first.cached }),
        completionTokens: sequences.reduce((sum, sequence) => sum + sequence.tokens.length, 0),
      },
      timings,
      ...(settings.sampling.doSample ? { seed: settings.sampling.seed } : {}),
      warnings,
    };
  }

  /** Computes all of a prompt but the rows that choosing tokens begins with. */
  async #readPrompt(
    { ids, begin }: Job,
    holding: Holding,
    onPrefill: GenerateOptions["onPrefill"],
    signal: AbortSignal | undefined,
  ): Promise<FirstRows> {
    const { executable, decoderStartTokenId } = this.#parts;
    const { slots, cached } = holding;
    const start = performance.now();
    const report = new PrefillReport(onPrefill, ids.length);
    if (decoderStartTokenId !== undefined) {
      await encode(executable, ids, report, signal);
      return {
        rows: begin,
        position: 0,
        slots,
        cached,
        start,
        sourceLength: ids.length,
        onProgress: undefined,
      };
    }
    let position = cached;
    for (;;) {
      // Nobody is held up where nothing is decoded.
      const size = this.#decoding > 0 ? this.#pace.rows : executable.maxRows;
      const rows = begin.slice(position, position + size);
      const onProgress = report.within(position, rows.length);
      if (position + rows.length === begin.length) {
        return { rows, position, slots, cached, start, sourceLength: undefined, onProgress };
      }
      const { seconds } = await executable.run(
        { ...passOf({ rows, position }, slots[0]), onProgress },
        signal,
      );
      if (seconds > 0) {
        this.#pace.took(rows.length, seconds);
      }
      position += rows.length;
      holding.holds(begin.subarray(0, position));
      report.after(position);
    }
  }
}

/** A sink whose first piece has the seed. */
function withSeed(sink: Sink, seed: number): Sink {
  let isFirst = true;
  return {
    ...sink,
    emit: (part) => {
      sink.emit(isFirst ? { ...part, seed } : part);
      isFirst = false;
    },
  };
}
