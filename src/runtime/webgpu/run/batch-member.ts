/** A decode among those that go on side by side (batch.ts). */
import type { DecodeProfile } from "../../backend.ts";
import type { SlotSequences } from "../../slot-sequences.ts";
import type { GpuDecodeRequest } from "./decode-request.ts";

/** A decode begins; what it gives is called with the number of tokens when it has ended. */
export type BeginDecode = (
  ...request: Parameters<SlotSequences<unknown>["beginDecode"]>
) => (chosen: number) => void;

interface Settle {
  resolve: (profile: DecodeProfile) => void;
  reject: (error: unknown) => void;
}

export class Member {
  readonly request: GpuDecodeRequest;
  readonly signal: AbortSignal | undefined;
  /** Where its state is in device memory, once it is running. */
  lane = 0;
  /** The last token, which no pass has read, and its position. */
  token: number;
  position: number;
  readonly #settle: Settle;
  readonly #endListeners: (() => void)[] = [];
  #chosen = 0;
  /** Tokens chosen in this turn, and what is to be called with their number. */
  #chosenInTurn = 0;
  #commit: ((chosen: number) => void) | undefined;
  #hasEnded = false;
  #firstAt: number | undefined;
  #lastAt = 0;
  /** Seconds in which the GPU ran kernels after the first token. */
  #busy = 0;

  constructor(request: GpuDecodeRequest, signal: AbortSignal | undefined, settle: Settle) {
    const { tokens, position } = request;
    this.request = request;
    this.signal = signal;
    this.token = tokens[tokens.length - 1];
    this.position = position + tokens.length - 1;
    this.#settle = settle;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** How many tokens it may still choose. */
  get left(): number {
    return this.request.count - this.#chosen;
  }

  /** Calls a listener when it ends, however that is. */
  onEnd(listener: () => void): void {
    this.#endListeners.push(listener);
  }

  /** Its slot's positions from the next token on are undefined until `endTurn`. @throws ModelComposeError "out-of-memory" */
  beginTurn(beginDecode: BeginDecode): void {
    const { slot, tokens, position } = this.request;
    const rest =
      this.#chosen === 0
        ? { tokens, position }
        : { tokens: Int32Array.of(this.token), position: this.position };
    this.#chosenInTurn = 0;
    this.#commit = beginDecode({ slot, ...rest, count: this.left });
  }

  /** What the tokens of this turn have read is there. */
  endTurn(): void {
    if (this.#chosenInTurn > 0) {
      this.#commit?.(this.#chosenInTurn);
    }
    this.#commit = undefined;
  }

  /**
   * Takes its next token, which may be its last one.
   *
   * @param kernelSeconds how long the GPU computed for it
   * @throws what `onToken` throws
   */
  accept(token: number, kernelSeconds: number): void {
    const { onToken, eosTokenIds } = this.request;
    this.#lastAt = performance.now();
    if (this.#firstAt === undefined) {
      this.#firstAt = this.#lastAt;
    } else {
      this.#busy += kernelSeconds;
    }
    this.#chosen++;
    this.#chosenInTurn++;
    this.token = token;
    this.position++;
    const goesOn = onToken(token) !== false && !eosTokenIds.includes(token) && this.left > 0;
    if (!goesOn && !this.#hasEnded) {
      this.endTurn();
      this.#end();
      const wallSeconds = (this.#lastAt - this.#firstAt) / 1000;
      this.#settle.resolve({ wallSeconds, kernelSeconds: this.#busy });
    }
  }

  /** Ends it with an error. */
  fail(error: unknown): void {
    if (!this.#hasEnded) {
      this.#end();
      this.#settle.reject(error);
    }
  }

  #end(): void {
    this.#hasEnded = true;
    for (const listener of this.#endListeners) {
      listener();
    }
  }
}
