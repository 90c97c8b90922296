/** The vocabulary of generation: what a caller may ask for and what comes back. */

/** How tokens are chosen from logits. Formulas and order are those of transformers' logits processors. */
export interface SamplingOptions {
  /** Draw from the distribution (true) or take the most likely token (false). */
  doSample?: boolean;
  /** Divides the logits; 0 means greedy. Range: >= 0. */
  temperature?: number;
  /** Keep the k most likely tokens; 0 keeps all. Integer >= 0. */
  topK?: number;
  /** Nucleus sampling (Holtzman et al. 2019): keep the smallest set whose probability reaches p. 0 < p <= 1. */
  topP?: number;
  /** Keep tokens at least this fraction as likely as the most likely one. 0 <= p <= 1. */
  minP?: number;
  /** CTRL's penalty (Keskar et al. 2019) on tokens already present, prompt included; 1 is off. Range: > 0. */
  repetitionPenalty?: number;
  /** No n-gram of this size appears twice, prompt included; 0 is off. Integer >= 0. */
  noRepeatNgramSize?: number;
  /** Key of the counter-based random generator: same seed, same text. Integer in 0 .. 2^53 - 1. */
  seed?: number;
}

export interface GenerateOptions extends SamplingOptions {
  /** Upper bound on new tokens. Integer >= 1. Default: what generation_config says, else up to the context. */
  maxNewTokens?: number;
  /** No end-of-sequence token before this many new tokens. Integer >= 0. */
  minNewTokens?: number;
  /** Keep only the last this many prompt tokens (with a warning). Integer >= 1. */
  maxPromptTokens?: number;
  /** Generation ends before the first of these strings in the new text. */
  stop?: string | readonly string[];
  /** Go on past end-of-sequence tokens. */
  ignoreEos?: boolean;
  /** `text` of the result begins with the prompt. Default true. */
  returnFullText?: boolean;
  /** Words 1..3 of the random generator's counter: which sequence of a larger job this is. Default [0, 0, 0]. */
  sequence?: readonly [number, number, number];
  signal?: AbortSignal;
  /** Called while a prompt is being processed, at most a few times a second. */
  onPrefill?: (progress: { done: number; total: number }) => void;
}

export type FinishReason =
  | "eos" // an end-of-sequence token
  | "length" // maxNewTokens reached
  | "context" // the context is full
  | "stop"; // a stop string

export interface Usage {
  promptTokens: number;
  completionTokens: number;
}

/** Wall-clock figures of one generation, in seconds and tokens per second. */
export interface Timings {
  /** From the start of work on this request (not of waiting for its turn) to the first token. */
  timeToFirstTokenSeconds: number;
  prefillSeconds: number;
  decodeSeconds: number;
  prefillTokensPerSecond: number;
  /** Of the tokens after the first; 0 when there was only one. */
  decodeTokensPerSecond: number;
}

export interface GenerateResult {
  /** The prompt followed by the new text (only the new text with `returnFullText: false`). */
  text: string;
  newText: string;
  /** The new token ids only. */
  tokens: number[];
  finishReason: FinishReason;
  usage: Usage;
  timings: Timings;
  /** The seed that was used, also when it was drawn. */
  seed: number;
  /** What the caller should know: a prompt that was cut, a limit that was lowered. */
  warnings: string[];
}

/** A piece of a stream. Texts of all pieces joined give `newText`. The last piece has `result`. */
export interface StreamPart {
  text: string;
  /** Token ids that this piece completes; a piece may complete none or several. */
  tokens: number[];
  result?: GenerateResult;
}

/** What loading reports. `done` and `total` are bytes for "weights", fractions of 1 otherwise. */
export interface LoadProgress {
  stage: "config" | "tokenizer" | "weights" | "compile" | "ready";
  done: number;
  total: number;
}

/**
 * "auto": a hardware GPU when there is one and loading succeeds on it, else the CPU. "wasm" or "cpu": the CPU. "webgpu":
 * a hardware GPU. "webgpu:NAME": the first adapter with NAME in its name, in any case, software too; "webgpu:?" fails
 * with an error that lists the adapters.
 */
export type DeviceRequest = "auto" | "wasm" | "cpu" | "webgpu" | (string & {});

/**
 * How the GPU multiplies matrices while it reads a prompt. "exact": f32, the results of the CPU. "f16": factors rounded
 * to f16, sums in f32. "subgroup-matrix": as "f16", on the GPU's matrix units.
 */
export type PrefillMode = "exact" | "f16" | "subgroup-matrix";

/** How weights are held in memory; nothing converts them yet. */
export type Precision = "stored" | "float32" | "float16" | "bfloat16";

export interface LoadOptions {
  /** Default "auto". */
  device?: DeviceRequest;
  /** Threads of the WASM device. Default: the available cores. */
  threads?: number;
  /** Bytes that the model may take on the GPU. Default: what the GPU gives. */
  gpuMemory?: number;
  /** Default "exact", with "auto" too. Another mode needs a GPU. */
  prefill?: PrefillMode;
  /** "stored" (default) keeps weights as the checkpoint has them. A type by name must be the checkpoint's own. */
  precision?: Precision;
  /** Capacity of the KV cache in tokens; "max": all that the model was made for. Default min(model maximum, 4096). */
  contextLength?: number | "max";
  onProgress?: (progress: LoadProgress) => void;
  /** Diagnostics a person should see: device chosen, context length, memory. Default: none. */
  onNotice?: (line: string) => void;
  signal?: AbortSignal;
}

/** What a loaded model runs on, for people and reports. */
export interface DeviceInfo {
  /** "wasm" or "webgpu". */
  kind: "wasm" | "webgpu";
  /** For example "wasm (relaxed SIMD, 2 threads)" or "webgpu (NVIDIA H200, vulkan)". */
  description: string;
  /** Of the WASM device. */
  threads?: number;
  /** The GPU's name. */
  adapter?: string;
}
