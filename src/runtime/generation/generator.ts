/**
 * Text generation over an Executable: prompt in chunks (or through an encoder), decode or beam search, text as it
 * becomes whole. Knows neither files nor devices.
 */
import { Channel } from "../../base/async/channel.ts";
import { Slots } from "../../base/async/slots.ts";
import { searchText } from "./beam-search/search-text.ts";
import { decodeText } from "./decode-text.ts";
import { embedInput, embedTokens, type EmbedOptions, type Embedding } from "./embed.ts";
import { forwardInput, forwardLogits, type ForwardResult } from "./forward.ts";
import type { FirstRows, Sink } from "./outcome.ts";
import { encode, prefillButLast, PrefillReport } from "./prefill.ts";
import { prepareJob, type GeneratorParts, type Job, type Prompt } from "./request.ts";
import type { BeamSequence, GenerateOptions, GenerateResult, StreamPart } from "./types.ts";

export class Generator {
  readonly #parts: GeneratorParts;
  /** One generation (or evaluation) at a time: they share the KV slot. */
  readonly #turn = new Slots(1);

  constructor(parts: GeneratorParts) {
    this.#parts = parts;
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
    return this.#turn.run(() => forwardLogits(this.#parts, input, signal), signal);
  }

  /**
   * Makes a vector of a text.
   *
   * @throws ModelComposeError as `embedInput`; AbortError
   */
  async embed(prompt: Prompt, options: EmbedOptions = {}): Promise<Embedding> {
    const ids = await embedInput(this.#parts, prompt, options);
    return this.#turn.run(() => embedTokens(this.#parts, ids, options), options.signal);
  }

  async #run(prompt: Prompt, options: GenerateOptions, sink: Sink): Promise<GenerateResult> {
    const job = await prepareJob(this.#parts, prompt, options);
    const { doSample, seed } = job.settings.sampling;
    const seeded = doSample ? withSeed(sink, seed) : sink;
    return this.#turn.run(() => this.#work(job, options, seeded), options.signal);
  }

  async #work(job: Job, { signal, onPrefill }: GenerateOptions, sink: Sink): Promise<GenerateResult> {
    const { ids, settings, warnings } = job;
    const isSearch = settings.beams.count > 1;
    const first = await this.#readPrompt(job, onPrefill, signal);
    const work = isSearch ? searchText : decodeText;
    const { sequences, timings } = await work(this.#parts, job, first, sink, signal);

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
    onPrefill: GenerateOptions["onPrefill"],
    signal: AbortSignal | undefined,
  ): Promise<FirstRows> {
    const { executable, decoderStartTokenId } = this.#parts;
    const start = performance.now();
    const report = new PrefillReport(onPrefill, ids.length);
    if (decoderStartTokenId !== undefined) {
      await encode(executable, ids, report, signal);
      return { rows: begin, position: 0, start, sourceLength: ids.length, onProgress: undefined };
    }
    const last = await prefillButLast(executable, begin, report, signal);
    const onProgress = report.within(last.position, last.rows.length);
    return { ...last, start, sourceLength: undefined, onProgress };
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
