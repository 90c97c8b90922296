/** The thread in which a model's texts are held to their forms, as the thread sees it that starts it. */
import { withAbort } from "../../base/async/abort.ts";
import { runInSlices } from "../../base/async/slices.ts";
import { errorMessage, ModelComposeError } from "../../base/errors.ts";
import { startWorker, workerUrl, type Worker } from "../platform/workers.ts";
import { deserializeError, type SerializedError } from "../posted-error.ts";
import type { Constraint } from "./grammar.ts";
import type { Mask } from "./matcher.ts";

/** What the thread is told. */
export type GrammarRequest =
  /** The bytes of tokens one behind the other; a length of 0: the token has none. */
  | { type: "tokens"; first: number; lengths: Uint32Array; bytes: Uint8Array }
  | { type: "compile"; compilation: number; constraint: Constraint }
  | { type: "follow"; text: number; constraint: Constraint }
  | { type: "accept"; text: number; step: number; token: number }
  | { type: "leave"; text: number };

/** What it tells. */
export type GrammarReply =
  | { type: "compiled"; compilation: number; error?: SerializedError }
  /** `step`: how many tokens of the text have been accepted. */
  | ({ type: "ending"; text: number; step: number } & TextEnding)
  | { type: "mask"; text: number; step: number; mask: Mask }
  | { type: "failed"; text: number; error: SerializedError };

/** Whether a text may end where it is, and whether nothing may follow. */
export interface TextEnding {
  readonly mayEnd: boolean;
  readonly mustEnd: boolean;
}

/** Tokens whose bytes are handed over at a time. */
const TOKENS_A_STEP = 2048;

/** A form that is known to be one; any number of texts may be held to it. */
export interface Form {
  /** Begins to follow a text, from its first token on. */
  follow(): FollowedText;
}

/** A model's forms. The thread starts when the first one is asked for. */
export class GrammarThread {
  readonly #size: number;
  readonly #bytesOf: (token: number) => Uint8Array | undefined;
  #connection: Promise<Connection> | undefined;
  #isDisposed = false;

  /**
   * @param size number of the model's logits
   * @param bytesOf the bytes of a token in a text; undefined for one that has none, and for special tokens
   */
  constructor(size: number, bytesOf: (token: number) => Uint8Array | undefined) {
    this.#size = size;
    this.#bytesOf = bytesOf;
  }

  /** @throws ModelComposeError as `compileConstraint` and `Vocabulary`, "device" when the thread ends; AbortError */
  async form(constraint: Constraint, signal?: AbortSignal): Promise<Form> {
    const connection = await withAbort(this.#connect(), signal);
    await withAbort(connection.compile(constraint), signal);
    return { follow: () => connection.follow(constraint) };
  }

  /** Ends the thread; texts that it follows fail. */
  async dispose(): Promise<void> {
    this.#isDisposed = true;
    const connection = await this.#connection?.catch(() => undefined);
    await connection?.end();
  }

  async #connect(): Promise<Connection> {
    if (this.#isDisposed) {
      throw new ModelComposeError("disposed", "The model was disposed of.");
    }
    this.#connection ??= this.#start();
    const connection = await this.#connection;
    if (!connection.isLost) {
      return connection;
    }
    // The one that asks first starts it anew.
    this.#connection = undefined;
    return this.#connect();
  }

  async #start(): Promise<Connection> {
    const entry = { source: "./grammar-worker.ts", bundled: "grammar-worker.js" };
    const worker = startWorker(workerUrl(import.meta.url, entry), {
      name: "model-compose grammar",
      data: this.#size,
    });
    const connection = new Connection(worker);
    await runInSlices(this.#handOver(connection));
    return connection;
  }

  *#handOver(connection: Connection): Generator<undefined, void> {
    for (let first = 0; first < this.#size; first += TOKENS_A_STEP) {
      const count = Math.min(TOKENS_A_STEP, this.#size - first);
      const all = Array.from({ length: count }, (_, i) => this.#bytesOf(first + i) ?? new Uint8Array());
      const lengths = Uint32Array.from(all, ({ length }) => length);
      const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
      let at = 0;
      for (const each of all) {
        bytes.set(each, at);
        at += each.length;
      }
      connection.send({ type: "tokens", first, lengths, bytes });
      yield;
    }
  }
}

type Settled<T> = ReturnType<typeof Promise.withResolvers<T>>;

/** A thread, and those who wait for what it tells. */
class Connection {
  readonly #worker: Worker;
  readonly #compilations = new Map<number, Settled<undefined>>();
  readonly #texts = new Map<number, FollowedText>();
  #count = 0;
  #pending = 0;
  #cause: ModelComposeError | undefined;

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.on("message", (reply: GrammarReply) => {
      this.#take(reply);
    });
    worker.on("error", (error) => {
      this.#lose(error);
    });
    worker.on("exit", (code) => {
      this.#lose(new Error(`exit code ${code}`));
    });
    // A thread that nobody waits for keeps no program alive.
    worker.unref();
  }

  get isLost(): boolean {
    return this.#cause !== undefined;
  }

  send(request: GrammarRequest): void {
    this.#worker.postMessage(request);
  }

  compile(constraint: Constraint): Promise<undefined> {
    if (this.#cause !== undefined) {
      return Promise.reject(this.#cause);
    }
    const compilation = this.#count++;
    const settled = Promise.withResolvers<undefined>();
    this.#compilations.set(compilation, settled);
    this.expect(1);
    this.send({ type: "compile", compilation, constraint });
    return settled.promise;
  }

  follow(constraint: Constraint): FollowedText {
    const text = this.#count++;
    const followed = new FollowedText(this, text);
    if (this.#cause === undefined) {
      this.#texts.set(text, followed);
      this.send({ type: "follow", text, constraint });
    } else {
      followed.fail(this.#cause);
    }
    return followed;
  }

  leave(text: number): void {
    this.#texts.delete(text);
    this.send({ type: "leave", text });
  }

  /** Counts replies that somebody waits for: the program goes on while there are any. */
  expect(count: number): void {
    const before = this.#pending;
    this.#pending += count;
    if (before === 0 && this.#pending > 0) {
      this.#worker.ref();
    } else if (this.#pending === 0) {
      this.#worker.unref();
    }
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #take(reply: GrammarReply): void {
    if (reply.type === "compiled") {
      const settled = this.#compilations.get(reply.compilation);
      this.#compilations.delete(reply.compilation);
      this.expect(-1);
      if (reply.error === undefined) {
        settled?.resolve(undefined);
      } else {
        settled?.reject(deserializeError(reply.error));
      }
      return;
    }
    const text = this.#texts.get(reply.text);
    if (reply.type === "ending") {
      text?.end(reply.step, { mayEnd: reply.mayEnd, mustEnd: reply.mustEnd });
    } else if (reply.type === "mask") {
      text?.allow(reply.step, reply.mask);
    } else {
      text?.fail(deserializeError(reply.error));
    }
  }

  #lose(error: unknown): void {
    if (this.#cause !== undefined) {
      return;
    }
    this.#cause = new ModelComposeError(
      "device",
      `The thread that holds texts to their forms ended: ${errorMessage(error)}.`,
      { remedy: "Try again: it is started anew.", cause: error },
    );
    for (const settled of this.#compilations.values()) {
      settled.reject(this.#cause);
    }
    for (const text of this.#texts.values()) {
      text.fail(this.#cause);
    }
    this.#compilations.clear();
    this.#texts.clear();
  }
}

/** A text that is held to a form, token by token. */
export class FollowedText {
  readonly #connection: Connection;
  readonly #text: number;
  #ending = Promise.withResolvers<TextEnding>();
  #mask = Promise.withResolvers<Mask>();
  /** How many tokens were accepted. */
  #step = 0;
  /** Whether the thread is to be kept for what is asked. */
  #isWaiting = false;

  /** @param text the number by which the thread knows it */
  constructor(connection: Connection, text: number) {
    this.#connection = connection;
    this.#text = text;
    this.#begin();
  }

  /** Whether the text may, or must, end where it is. @throws as `mask` */
  ending(): Promise<TextEnding> {
    return this.#ending.promise;
  }

  /**
   * The tokens that may come next.
   *
   * @throws ModelComposeError "unsupported" for an automaton that has become too large, "device" when the thread ends
   */
  mask(): Promise<Mask> {
    return this.#mask.promise;
  }

  /** Goes on by a token, which the mask allowed: what is known of the place before it is known no more. */
  accept(token: number): void {
    this.#ending = Promise.withResolvers();
    this.#mask = Promise.withResolvers();
    this.#step += 1;
    this.#begin();
    this.#connection.send({ type: "accept", text: this.#text, step: this.#step, token });
  }

  /** The text is over. */
  leave(): void {
    this.#settle();
    this.#connection.leave(this.#text);
  }

  /** Takes what is told of a place, which may be one that was left since. */
  end(step: number, ending: TextEnding): void {
    if (step === this.#step) {
      this.#ending.resolve(ending);
    }
  }

  /** @see end */
  allow(step: number, mask: Mask): void {
    if (step === this.#step) {
      this.#mask.resolve(mask);
      this.#settle();
    }
  }

  fail(error: ModelComposeError): void {
    this.#ending.reject(error);
    this.#mask.reject(error);
    this.#settle();
  }

  #begin(): void {
    // Who asks hears of a failure; where nobody asks any more, nobody needs to.
    this.#ending.promise.catch(() => undefined);
    this.#mask.promise.catch(() => undefined);
    if (!this.#isWaiting) {
      this.#isWaiting = true;
      this.#connection.expect(1);
    }
  }

  #settle(): void {
    if (this.#isWaiting) {
      this.#isWaiting = false;
      this.#connection.expect(-1);
    }
  }
}
