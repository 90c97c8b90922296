/** Decodes one sequence, token by token, and sends its text as it becomes whole. */
import type { DecodeRequest } from "../backend.ts";
import { AbortError } from "../../base/errors.ts";
import { textOf } from "./generated-text.ts";
import { decodeOnHost } from "./host-decode.ts";
import { timingsOf, type FirstRows, type Outcome, type Sink } from "./outcome.ts";
import type { GeneratorParts, Job } from "./request.ts";
import { logprobOf } from "./logprobs.ts";
import type { FinishReason, TokenLogprob } from "./types.ts";

/**
 * Decodes a job's sequence. Tokens are chosen on the device where it can choose by the job's settings and rules, else
 * here.
 */
export async function decodeText(
  parts: GeneratorParts,
  job: Job,
  first: FirstRows,
  sink: Sink,
  signal: AbortSignal | undefined,
): Promise<Outcome> {
  const { executable, vocabSize } = parts;
  const { settings, processing, limit } = job;
  const { eosTokenIds, rules, minNewTokens } = processing;
  const text = textOf(parts, settings.stop);
  const pieces = new Pieces(sink, parts.codec !== undefined);
  const tokens: number[] = [];
  const logprobs: TokenLogprob[] = [];
  let finishReason = job.limitReason as FinishReason;
  let stopString: string | undefined;
  let firstAt = first.start;
  let lastAt = first.start;

  const onToken = (token: number): boolean => {
    lastAt = performance.now();
    if (tokens.length === 0) {
      firstAt = lastAt;
    }
    tokens.push(token);
    pieces.add(token);
    // A token that was forced at the limit does not mean that the model has found an end.
    if (tokens.length === limit && rules?.forcedEosTokenIds.includes(token) === true) {
      return false;
    }
    if (eosTokenIds.includes(token)) {
      finishReason = "eos";
      return false;
    }
    const { emit, stopped } = text.push(token);
    if (stopped !== undefined) {
      finishReason = "stop";
      stopString = stopped;
    }
    pieces.send(emit);
    return stopped === undefined && sink.isOpen();
  };
  const request: DecodeRequest = {
    tokens: first.rows,
    slot: first.slots[0],
    position: first.position,
    sourceLength: first.sourceLength,
    count: limit,
    sampling: settings.sampling,
    rules,
    history: job.begin,
    eosTokenIds,
    minNewTokens,
    sequence: settings.sequence,
    promptLookup: settings.promptLookup,
    onProgress: first.onProgress,
    onToken,
  };
  const { logprobs: alternatives } = settings;
  const onChosen =
    alternatives === undefined
      ? undefined
      : (token: number, logits: Float32Array): void => {
          const logprob = logprobOf(logits, token, alternatives, parts.codec);
          logprobs.push(logprob);
          pieces.tell(logprob);
        };
  if (job.form === undefined && onChosen === undefined && executable.canChoose(request)) {
    await executable.decode(request, signal);
  } else {
    const held = job.form?.follow();
    try {
      await decodeOnHost(executable, request, vocabSize, signal, { held, onChosen });
      if (finishReason !== "stop" && (await held?.ending())?.mustEnd === true) {
        finishReason = "eos";
      }
    } finally {
      held?.leave();
    }
  }
  if (signal?.aborted) {
    throw new AbortError(signal.reason);
  }

  if (finishReason !== "stop") {
    const { emit: rest, stopped } = text.finish(finishReason !== "eos");
    if (stopped !== undefined) {
      finishReason = "stop";
      stopString = stopped;
    }
    if (rest !== "") {
      pieces.send(rest);
    }
  }
  pieces.end();
  const { newText } = pieces;
  return {
    sequences: [
      {
        tokens,
        newText,
        finishReason,
        ...(stopString !== undefined && { stopString }),
        ...(alternatives !== undefined && { logprobs }),
      },
    ],
    timings: timingsOf(
      job.ids.length - first.cached,
      (firstAt - first.start) / 1000,
      (lastAt - firstAt) / 1000,
      tokens.length,
    ),
  };
}

/** Text on its way to a reader: each piece takes along the tokens that it completes. */
class Pieces {
  /** All text that was sent. */
  newText = "";
  readonly #sink: Sink;
  readonly #hasText: boolean;
  #unsent: number[] = [];
  /** Log-probabilities of those tokens; undefined: nobody asks for them. */
  #logprobs: TokenLogprob[] | undefined;

  /** @param hasText whether there is text; without, each token is a piece */
  constructor(sink: Sink, hasText: boolean) {
    this.#sink = sink;
    this.#hasText = hasText;
  }

  add(token: number): void {
    this.#unsent.push(token);
  }

  /** Takes along the log-probability of the token that is added next. */
  tell(logprob: TokenLogprob): void {
    (this.#logprobs ??= []).push(logprob);
  }

  /** Sends text as a piece. An empty text is none: its tokens go with the next. */
  send(text: string): void {
    if (text === "" && this.#hasText) {
      return;
    }
    this.newText += text;
    this.#flush(text);
  }

  /** Sends the tokens that completed no text. */
  end(): void {
    if (this.#unsent.length > 0) {
      this.#flush("");
    }
  }

  #flush(text: string): void {
    const logprobs = this.#logprobs && { logprobs: this.#logprobs };
    this.#sink.emit({ text, tokens: this.#unsent, ...logprobs });
    this.#unsent = [];
    this.#logprobs = this.#logprobs && [];
  }
}
