/**
 * The sequences that the workers decode side by side: pass, logits, choice, next pass, with no message to the main thread
 * in between. A step is one pass with a row a sequence. Tokens go out through shared memory.
 */
import { choiceOf, chooseTokens, type Choice, type Chosen } from "./choose-tokens.ts";
import { stepsFor, type ForwardEntry } from "./compile.ts";
import { MOST_CHOICES } from "./control.ts";
import { NO_COMMAND, runSteps, type PassContext, type Worker } from "./pass.ts";
import type { DecodeCommand, Reply } from "./protocol.ts";
import { TokenChannel } from "./token-channel.ts";

/** What became of a decode. The error is known to one worker, or to all. */
export type Outcome = { reply: Reply } | { error: unknown };

interface Running {
  command: number;
  request: DecodeCommand;
  choice: Choice;
  produced: TokenChannel;
  eos: ReadonlySet<number>;
  /** The token that the next pass reads, and its position. */
  token: number;
  position: number;
  /** Tokens chosen so far. */
  count: number;
  /** When the first token was chosen, in milliseconds, and the kernels' seconds until then. */
  start: number;
  kernelSeconds: number;
}

export class Batch {
  readonly #worker: Worker;
  readonly #entry: ForwardEntry;
  readonly #vocabSize: number;
  readonly #end: (command: number, outcome: Outcome) => void;
  #running: Running[] = [];

  /** @param end told of every decode that ends by itself */
  constructor(
    worker: Worker,
    entry: ForwardEntry,
    vocabSize: number,
    end: (command: number, outcome: Outcome) => void,
  ) {
    this.#worker = worker;
    this.#entry = entry;
    this.#vocabSize = vocabSize;
    this.#end = end;
  }

  get isEmpty(): boolean {
    return this.#running.length === 0;
  }

  /**
   * Takes a sequence in. Several rows are a pass of their own, which chooses the first token; one row is read by the next
   * step.
   *
   * @throws Cancelled when the command was cancelled meanwhile; the sequence is not taken in then
   */
  join(command: number, request: DecodeCommand): void {
    const { tokens, slot, position, sourceLength = 0 } = request;
    const rows = tokens.length;
    const sequence: Running = {
      command,
      request,
      choice: choiceOf(this.#worker, request, this.#vocabSize, slot),
      produced: new TokenChannel(request.produced),
      eos: new Set(request.eosTokenIds),
      token: tokens[rows - 1],
      position: position + rows - 1,
      count: 0,
      start: 0,
      kernelSeconds: 0,
    };
    if (rows > 1) {
      const context: PassContext = {
        command,
        rows,
        tokens,
        slots: new Int32Array(rows).fill(slot),
        positions: Int32Array.from({ length: rows }, (_, r) => position + r),
        sourceLength,
      };
      this.#worker.blocks.reserve(context);
      runSteps(stepsFor(this.#entry, context, this.#worker.plan), context, this.#worker.clock);
      const [chosen] = this.#choose([sequence], [rows - 1], context, false);
      if (!this.#goesOn(sequence, chosen)) {
        return;
      }
    }
    this.#running.push(sequence);
  }

  /** Ends a sequence before its time. Returns whether it was running. */
  leave(command: number): boolean {
    const before = this.#running.length;
    this.#running = this.#running.filter((sequence) => sequence.command !== command);
    return this.#running.length < before;
  }

  /** Computes and chooses one more token of every sequence. */
  step(): void {
    const { clock, plan } = this.#worker;
    const size = Math.min(plan.maxRows, MOST_CHOICES);
    clock.enabled = this.#running.some(({ request }) => request.profile);
    const ended = new Set<Running>();
    for (let from = 0; from < this.#running.length; from += size) {
      const part = this.#running.slice(from, from + size);
      const context: PassContext = {
        command: NO_COMMAND,
        rows: part.length,
        tokens: Int32Array.from(part, ({ token }) => token),
        slots: Int32Array.from(part, ({ request }) => request.slot),
        positions: Int32Array.from(part, ({ position }) => position),
        // Sequences that read an encoder's input are alone.
        sourceLength: part[0].request.sourceLength ?? 0,
      };
      this.#worker.blocks.reserve(context);
      const isSingle = part.length === 1;
      const steps = isSingle ? this.#entry.head.row : stepsFor(this.#entry, context, plan);
      runSteps(steps, context, clock);
      const rows = part.map((_, r) => r);
      this.#choose(part, rows, context, isSingle).forEach((chosen, i) => {
        if (!this.#goesOn(part[i], chosen)) {
          ended.add(part[i]);
        }
      });
    }
    clock.enabled = false;
    if (ended.size > 0) {
      this.#running = this.#running.filter((sequence) => !ended.has(sequence));
    }
  }

  #choose(
    sequences: readonly Running[],
    rows: readonly number[],
    context: PassContext,
    areComputed: boolean,
  ): Chosen[] {
    return chooseTokens(
      this.#worker,
      this.#entry.head.logits,
      this.#vocabSize,
      sequences.map(({ choice, position }, i) => ({ choice, row: rows[i], position: position + 1 })),
      context,
      areComputed,
    );
  }

  /** Notes the next token of a sequence. Returns whether there may be more. */
  #goesOn(sequence: Running, { token, error }: Chosen): boolean {
    const { command, request, produced, choice, eos } = sequence;
    if (token < 0) {
      // Who does not know why is done: the error comes from the worker that does.
      this.#end(command, error === undefined ? { reply: {} } : { error });
      return false;
    }
    if (this.#worker.index === 0) {
      produced.push(token);
    }
    const { clock } = this.#worker;
    if (++sequence.count === 1) {
      sequence.start = performance.now();
      sequence.kernelSeconds = clock.seconds;
    }
    if (sequence.count === request.count || eos.has(token)) {
      const wallSeconds = (performance.now() - sequence.start) / 1000;
      this.#end(command, { reply: { wallSeconds, kernelSeconds: clock.seconds - sequence.kernelSeconds } });
      return false;
    }
    choice.sampler?.accept(token);
    sequence.token = token;
    sequence.position++;
    return true;
  }
}
