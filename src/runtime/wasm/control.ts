/**
 * The shared control block of a group of workers: the barrier at which they meet, the flag that cancels a command,
 * the poison that frees everyone when one of them dies, and the tokens they propose.
 */

/** Places in the Int32Array: number of the barrier, workers that have arrived, workers that sleep. */
const GENERATION = 0;
const ARRIVED = 1;
const SLEEPERS = 2;
/** Number of the command that was cancelled: decided by the last to arrive at a barrier, so that all agree. */
const CANCELLED = 3;
/** Worker that failed, plus one. */
const POISON = 4;
/** Number of the last command that every worker has been sent. */
const POSTED = 5;
/** How far the running pass is, in thousandths. */
const PROGRESS = 6;
/** Bytes of weights read: a 64-bit number, two words. */
const LOADED = 8;
/** What POSTED was at the last barrier, so that all agree. */
const AGREED = 7;
/** Tokens that each sequence drafts: as the leader has it, and as it was at the last barrier. */
const DRAFTS = 10;
const AGREED_DRAFTS = 11;
/** Start of the numbers of commands to cancel, each at its remainder: several may be on their way. */
const CANCELS = 12;
const CANCEL_WORDS = 64;
/** Start of a word a worker: how many of its tasks were taken. */
const PER_WORKER = CANCELS + CANCEL_WORDS;

/** Tokens that are chosen in one pass at most. */
export const MOST_CHOICES = 64;

/** Loads between two looks at the clock while spinning. */
const SPIN_BATCH = 64;

// Atomics.pause tells the core that this is a spin loop; V8 has it from version 13.3 on.
const pause: (() => void) | undefined = (Atomics as { pause?: () => void }).pause;

/** Thrown in a worker when another one failed; the cause is reported by the one that did. */
export class PeerFailed extends Error {
  constructor() {
    super("Another worker failed.");
  }
}

/** A token and its logit. */
export interface Candidate {
  token: number;
  logit: number;
}

export interface ControlOptions {
  threads: number;
  /** How long a worker spins at a barrier before it sleeps, in milliseconds. 0: it sleeps at once. */
  spinMilliseconds: number;
}

/** The words of a choice: the token that was sampled, then of each worker a token it proposes and, as f32, its logit. */
function choiceWords(threads: number): number {
  return 1 + 2 * threads;
}

export function createControl(threads: number): SharedArrayBuffer {
  const words = PER_WORKER + threads + MOST_CHOICES * choiceWords(threads);
  return new SharedArrayBuffer(Math.ceil(words / 2) * 8);
}

export class Control {
  readonly #words: Int32Array;
  readonly #floats: Float32Array;
  readonly #loaded: BigInt64Array;
  readonly #options: ControlOptions;

  constructor(buffer: SharedArrayBuffer, options: ControlOptions) {
    this.#words = new Int32Array(buffer);
    this.#floats = new Float32Array(buffer);
    this.#loaded = new BigInt64Array(buffer, LOADED * 4, 1);
    this.#options = options;
  }

  /**
   * Waits for all workers. Writes before it are visible after it. Returns true when `command` was cancelled: all
   * workers get the same answer from the same barrier.
   */
  barrier(command: number): boolean {
    const words = this.#words;
    const { threads, spinMilliseconds } = this.#options;
    if (threads === 1) {
      return this.#isCancelled(command);
    }
    const generation = Atomics.load(words, GENERATION);
    // Poison is set before the generation moves: a worker that comes too late to be freed sees it here.
    if (Atomics.load(words, POISON) !== 0) {
      throw new PeerFailed();
    }
    if (Atomics.add(words, ARRIVED, 1) === threads - 1) {
      Atomics.store(words, ARRIVED, 0);
      for (let worker = 0; worker < threads; worker++) {
        Atomics.store(words, PER_WORKER + worker, 0);
      }
      Atomics.store(words, AGREED, Atomics.load(words, POSTED));
      Atomics.store(words, AGREED_DRAFTS, Atomics.load(words, DRAFTS));
      if (this.#isCancelled(command)) {
        Atomics.store(words, CANCELLED, command);
      }
      Atomics.store(words, GENERATION, generation + 1);
      if (Atomics.load(words, SLEEPERS) > 0) {
        Atomics.notify(words, GENERATION);
      }
    } else {
      this.#await(generation, spinMilliseconds);
    }
    if (Atomics.load(words, POISON) !== 0) {
      throw new PeerFailed();
    }
    return Atomics.load(words, CANCELLED) === command;
  }

  #await(generation: number, spinMilliseconds: number): void {
    const words = this.#words;
    if (spinMilliseconds > 0) {
      let deadline = 0;
      for (;;) {
        for (let i = 0; i < SPIN_BATCH; i++) {
          if (Atomics.load(words, GENERATION) !== generation) {
            return;
          }
          pause?.();
        }
        const now = performance.now();
        if (deadline === 0) {
          deadline = now + spinMilliseconds;
        } else if (now > deadline) {
          break;
        }
      }
    }
    Atomics.add(words, SLEEPERS, 1);
    while (Atomics.load(words, GENERATION) === generation) {
      Atomics.wait(words, GENERATION, generation);
    }
    Atomics.sub(words, SLEEPERS, 1);
  }

  /** Read between kernel calls of a long op: true when `command` is to be cancelled at the next barrier. */
  isCancelRequested(command: number): boolean {
    return this.#isCancelled(command) || Atomics.load(this.#words, POISON) !== 0;
  }

  /** @param command a number above 0; what bears NO_COMMAND cannot be cancelled */
  cancel(command: number): void {
    Atomics.store(this.#words, CANCELS + (command % CANCEL_WORDS), command);
  }

  #isCancelled(command: number): boolean {
    return command > 0 && Atomics.load(this.#words, CANCELS + (command % CANCEL_WORDS)) === command;
  }

  /** Frees every worker from its barrier; they throw PeerFailed there. */
  poison(worker: number): void {
    Atomics.store(this.#words, POISON, worker + 1);
    Atomics.add(this.#words, GENERATION, 1);
    Atomics.notify(this.#words, GENERATION);
  }

  /** Takes one of the `count` tasks in a worker's memory; -1 when none is left. Every barrier makes all available. */
  takeTask(owner: number, count: number): number {
    const word = PER_WORKER + owner;
    if (Atomics.load(this.#words, word) >= count) {
      return -1;
    }
    const task = Atomics.add(this.#words, word, 1);
    return task < count ? task : -1;
  }

  /** Number of the last command that every worker has been sent. */
  set posted(command: number) {
    Atomics.store(this.#words, POSTED, command);
  }

  /** A command that every worker has been sent; all workers see the same one between two barriers. */
  get agreed(): number {
    return Atomics.load(this.#words, this.#options.threads === 1 ? POSTED : AGREED);
  }

  /** Tokens that each sequence drafts, by the leader. */
  set drafts(count: number) {
    Atomics.store(this.#words, DRAFTS, count);
  }

  /** The same for all workers between two barriers. */
  get agreedDrafts(): number {
    return Atomics.load(this.#words, this.#options.threads === 1 ? DRAFTS : AGREED_DRAFTS);
  }

  /** The token that a worker has sampled for a choice, -1 where it could not; others read it after a barrier. */
  tokenOf(choice: number): number {
    return this.#words[this.#choiceAt(choice)];
  }

  setToken(choice: number, token: number): void {
    this.#words[this.#choiceAt(choice)] = token;
  }

  get isPoisoned(): boolean {
    return Atomics.load(this.#words, POISON) !== 0;
  }

  /**
   * A worker proposes its best token of a choice, -1 where it owns no logits, and its logit; all read it after a barrier. A
   * NaN counts as more than any number.
   */
  setCandidate(choice: number, worker: number, token: number, logit: number): void {
    const word = this.#choiceAt(choice) + 1 + 2 * worker;
    this.#words[word] = token;
    this.#floats[word + 1] = logit;
  }

  /** The candidate with the largest logit, the lowest id among equals; the first whose logit is NaN when one is. */
  bestCandidate(choice: number, threads: number): Candidate {
    let best = -1;
    let largest = -Infinity;
    const first = this.#choiceAt(choice) + 1;
    for (let worker = 0; worker < threads; worker++) {
      const token = this.#words[first + 2 * worker];
      const logit = this.#floats[first + 2 * worker + 1];
      if (token >= 0 && Number.isNaN(logit)) {
        return { token, logit };
      }
      if (token >= 0 && (best < 0 || logit > largest)) {
        best = token;
        largest = logit;
      }
    }
    return { token: best, logit: largest };
  }

  #choiceAt(choice: number): number {
    const { threads } = this.#options;
    return PER_WORKER + threads + choice * choiceWords(threads);
  }

  /** How far the running pass is, 0 to 1. */
  get progress(): number {
    return Atomics.load(this.#words, PROGRESS) / 1000;
  }

  set progress(fraction: number) {
    Atomics.store(this.#words, PROGRESS, Math.floor(fraction * 1000));
  }

  addLoaded(bytes: number): void {
    Atomics.add(this.#loaded, 0, BigInt(bytes));
  }

  get loaded(): number {
    return Number(Atomics.load(this.#loaded, 0));
  }
}
