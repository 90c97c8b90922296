/** What takes part in a run: an engine, built in one way, on weights of one type. */

/** How fast an engine is. */
export interface Rates {
  prefillTokensPerSecond: number;
  decodeTokensPerSecond: number;
}

/** What one round finds out. */
export interface Measurement extends Rates {
  /** Bytes of weights that decoding a token reads. */
  weightBytesPerToken: number;
  /** Bytes a second that the threads read from memory, where the engine measures it. */
  readBandwidth?: number;
  /** What the engine says of how it was built, where that is known only when it runs. */
  build?: string;
  /** What the engine says of the CPU's features that it uses. */
  systemInfo?: string;
}

/** What is measured, the same for all. */
export interface Workload {
  threads: number;
  /** Tokens of the measured prefill. */
  promptTokens: number;
  /** Tokens that are there before the measured decode. */
  decodePromptTokens: number;
  /** Tokens of the measured decode. */
  newTokens: number;
}

export interface Contender {
  readonly engine: string;
  /** How it was built, for people: "native", "x86-64-v3", "npm". */
  readonly build: string;
  /** How the weights are stored: "bf16", "q8_0". */
  readonly weights: string;
  /** Bits of a stored element, without what is for groups of them: what engines are compared by. */
  readonly bits: number;
  /** Measures once, in processes of its own. */
  readonly measure: (workload: Workload) => Promise<Measurement>;
}

/** The name of a contender, for progress and errors. */
export function nameOf({ engine, build, weights }: Contender): string {
  return `${engine} (${build}) ${weights}`;
}
