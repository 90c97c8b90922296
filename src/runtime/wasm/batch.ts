/**
 * The sequences that the workers decode side by side: pass, logits, choice, next pass, with no message to the main thread
 * in between. A step is one pass with a row a sequence, and some more for drafted tokens where that gains. Tokens go out through
 * shared memory.
 */
import { PromptLookup } from "../sampling/prompt-lookup.ts";
import { choiceOf, chooseTokens, type Choice, type Chosen } from "./choose-tokens.ts";
import { stepsFor, type ForwardEntry } from "./compile.ts";
import { MOST_CHOICES } from "./control.ts";
import { DraftPace } from "./draft-pace.ts";
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
  /** What drafts tokens; absent: nothing does. */
  lookup: PromptLookup | undefined;
  /** The token that the next pass reads, and its position. */
  token: number;
  position: number;
  /** Tokens chosen so far, and passes that they took after the first. */
  count: number;
  passes: number;
  /** When the first token was chosen, in milliseconds, and the kernels' seconds until then. */
  start: number;
  kernelSeconds: number;
}

/** Rows of a step: of each sequence the token that it reads next, and drafts of what follows. */
interface StepRow {
  sequence: Running;
  token: number;
  position: number;
  /** Whether the token is only drafted. */
  isDraft: boolean;
}

export class Batch {
  readonly #worker: Worker;
  readonly #entry: ForwardEntry;
  readonly #vocabSize: number;
  readonly #end: (command: number, outcome: Outcome) => void;
  #running: Running[] = [];
  readonly #most: number;
  readonly #pace: DraftPace;

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
    this.#most = Math.min(worker.plan.maxRows, MOST_CHOICES);
    this.#pace = new DraftPace(this.#most);
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
    const { tokens, slot, position, sourceLength = 0, promptLookup = true } = request;
    const rows = tokens.length;
    const sequence: Running = {
      command,
      request,
      choice: choiceOf(this.#worker, request, this.#vocabSize, slot),
      produced: new TokenChannel(request.produced),
      eos: new Set(request.eosTokenIds),
      lookup: promptLookup && sourceLength === 0 ? new PromptLookup(request.history) : undefined,
      token: tokens[rows - 1],
      position: position + rows - 1,
      count: 0,
      passes: -1,
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
      const row = { sequence, token: sequence.token, position: sequence.position, isDraft: false };
      const [chosen] = this.#choose([row], [rows - 1], context, false);
      sequence.passes++;
      if (!this.#goesOn(sequence, chosen)) {
        return;
      }
      sequence.choice.sampler?.accept(sequence.token);
    }
    this.#running.push(sequence);
  }

  /** Ends a sequence before its time. Returns whether it was running. */
  leave(command: number): boolean {
    const before = this.#running.length;
    this.#running = this.#running.filter((sequence) => sequence.command !== command);
    return this.#running.length < before;
  }

  /** Computes and chooses one more token of every sequence, or some more. */
  step(): void {
    const { clock, control, index } = this.#worker;
    clock.enabled = this.#running.some(({ request }) => request.profile);
    const ended = new Set<Running>();
    for (const rows of this.#stepRows(this.#worker.drafts ?? control.agreedDrafts)) {
      const start = performance.now();
      this.#stepOf(rows, ended);
      if (index === 0) {
        this.#pace.took(rows.length, (performance.now() - start) / 1000);
      }
    }
    clock.enabled = false;
    if (ended.size > 0) {
      this.#running = this.#running.filter((sequence) => !ended.has(sequence));
    }
    if (index === 0) {
      control.drafts = this.#pace.drafts(this.#running.length);
    }
  }

  /** The rows of the passes of a step. Each sequence is in one of them. */
  #stepRows(drafts: number): StepRow[][] {
    const passes: StepRow[][] = [[]];
    for (const sequence of this.#running) {
      const { lookup, token, position, request, count } = sequence;
      const most = Math.min(drafts, request.count - count - 1);
      const rows = [token, ...(most > 0 ? (lookup?.draft(most) ?? []) : [])].map((token, i): StepRow => ({
        sequence,
        token,
        position: position + i,
        isDraft: i > 0,
      }));
      if (passes[passes.length - 1].length + rows.length > this.#most) {
        passes.push([]);
      }
      passes[passes.length - 1].push(...rows);
    }
    return passes;
  }

  #stepOf(rows: readonly StepRow[], ended: Set<Running>): void {
    const { clock, plan, blocks } = this.#worker;
    const context: PassContext = {
      command: NO_COMMAND,
      rows: rows.length,
      tokens: Int32Array.from(rows, ({ token }) => token),
      slots: Int32Array.from(rows, ({ sequence }) => sequence.request.slot),
      positions: Int32Array.from(rows, ({ position }) => position),
      // Sequences that read an encoder's input are alone.
      sourceLength: rows[0].sequence.request.sourceLength ?? 0,
    };
    blocks.reserve(context);
    const isSingle = rows.length === 1;
    runSteps(isSingle ? this.#entry.head.row : stepsFor(this.#entry, context, plan), context, clock);
    const all = rows.map((_, r) => r);
    const chosen = this.#choose(rows, all, context, isSingle);
    for (let r = 0; r < rows.length;) {
      const first = r++;
      while (rows[r]?.isDraft === true) {
        r++;
      }
      if (!this.#takeChosen(rows.slice(first, r), chosen.slice(first, r))) {
        ended.add(rows[first].sequence);
      }
    }
  }

  /** Takes what a sequence's rows have chosen, up to the first draft that was wrong. Returns whether there may be more. */
  #takeChosen(rows: readonly StepRow[], chosen: readonly Chosen[]): boolean {
    const [{ sequence }] = rows;
    const { lookup, choice } = sequence;
    sequence.passes++;
    const [guess] = lookup?.draft(1) ?? [];
    if (guess !== undefined) {
      this.#pace.saw(guess === chosen[0].token);
    }
    for (const [i, one] of chosen.entries()) {
      if (!this.#goesOn(sequence, one)) {
        return false;
      }
      if (rows[i + 1]?.token !== one.token) {
        break;
      }
    }
    // Whoever samples has accepted the tokens before it, which were drafted.
    choice.sampler?.accept(sequence.token);
    return true;
  }

  #choose(
    rows: readonly StepRow[],
    numbers: readonly number[],
    context: PassContext,
    areComputed: boolean,
  ): Chosen[] {
    return chooseTokens(
      this.#worker,
      this.#entry.head.logits,
      this.#vocabSize,
      rows.map(({ sequence, token, position, isDraft }, i) => ({
        choice: sequence.choice,
        row: numbers[i],
        position: position + 1,
        ...(isDraft && { drafted: token }),
      })),
      context,
      areComputed,
    );
  }

  /** Notes the next token of a sequence. Returns whether there may be more. */
  #goesOn(sequence: Running, { token, error }: Chosen): boolean {
    const { command, request, produced, lookup, eos } = sequence;
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
      const kernelSeconds = clock.seconds - sequence.kernelSeconds;
      this.#end(command, { reply: { wallSeconds, kernelSeconds, passes: sequence.passes } });
      return false;
    }
    lookup?.add(token);
    sequence.token = token;
    sequence.position++;
    return true;
  }
}
