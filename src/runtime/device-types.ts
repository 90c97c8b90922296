/** What callers name devices and their modes by. */

/**
 * The device to load on. "auto": a hardware GPU when there is one and loading succeeds on it, else the CPU. "wasm" or
 * "cpu": the CPU. "webgpu": a hardware GPU. "webgpu:NAME": the first adapter with NAME in its name, in any case,
 * software too; "webgpu:?" fails with an error that lists the adapters.
 */
export type DeviceRequest = "auto" | "wasm" | "cpu" | "webgpu" | (string & {});

/** What a loaded model runs on, for people and reports. */
export interface DeviceInfo {
  /** The device: "wasm" is the CPU, "webgpu" a GPU. */
  kind: "wasm" | "webgpu";
  /** The device for people, for example "wasm (256-bit SIMD, 2 threads)" or "webgpu (NVIDIA H200, vulkan)". */
  description: string;
  /** Threads of the WASM device; absent on a GPU. */
  threads?: number;
  /** The GPU's name; absent on the CPU. */
  adapter?: string;
}

/**
 * How the GPU multiplies matrices while it reads a prompt. "exact": f32, the results of the CPU. "f16": factors rounded
 * to f16, sums in f32. "subgroup-matrix": as "f16", on the GPU's matrix units, attention too where they fit its heads. "split":
 * on the matrix units too, activations as the sum of two f16 numbers, which together have 22 bits: nearly as accurate as f32.
 */
export type PrefillMode = "exact" | "f16" | "subgroup-matrix" | "split";

/**
 * How activations meet quantised weights on the CPU. "int8": quantised too, each group of 32 by its largest number, and
 * multiplied as integers. "float32": as they are; the weights are widened, which is slow. A GPU always does the latter.
 */
export type Activations = "int8" | "float32";

/** What the KV cache holds: "float32", all of every key and value; "float16", their nearest f16 numbers, half the bytes. */
export type KvPrecision = "float32" | "float16";

/** How weights are held in memory that are not quantised; the CPU converts them to another than the checkpoint has. */
export type Precision = "stored" | "float32" | "float16" | "bfloat16";
