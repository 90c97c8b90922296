/** The devices as the benchmark sees them: loading, and the measurements that the contract has no words for. */
import type { DecodeProfile, DecodeRequest, Executable } from "../../src/runtime/backend.ts";
import type { AdapterSummary } from "../../src/runtime/webgpu/run/adapter-summary.ts";
import type { StepCost } from "../../src/runtime/webgpu/run/decode-request.ts";
import type { WebGpuExecutable } from "../../src/runtime/webgpu/run/executable.ts";

/** A device that models can be loaded on. */
export interface BenchDevice {
  /** Number of threads that read files at once, where the files alone are read. */
  readonly readers: number;
  /** Loads the model once more. */
  load(onWeights: (done: number, total: number) => void): Promise<LoadedModel>;
}

/** A loaded model that can be measured. */
export interface LoadedModel {
  readonly executable: Executable;
  /** Decodes. `profile` measures how long kernels run, which costs some speed. */
  decode(request: DecodeRequest, options: { profile: boolean; onStep?: OnStep }): Promise<DecodeProfile>;
  /** Takes a sample of pure reads over the weights: bytes a second by the shape of the loop. */
  sampleReads(): Promise<ReadonlyMap<string, number>>;
  readonly cpu?: CpuFigures;
  readonly gpu?: { readonly executable: WebGpuExecutable; readonly summary: AdapterSummary };
}

/** What only a CPU has. */
export interface CpuFigures {
  readonly threads: number;
  readonly kernelBuild: string;
  /** Takes a sample of multiply-adds in registers on all threads: operations a second. */
  sampleFma(): Promise<number[]>;
  /** Fills the KV cache with numbers that mean nothing, as if a prompt as long as it had been read. */
  fillCache(): Promise<void>;
}

/** Called with the calling thread's cost of a step, on a GPU. */
export type OnStep = (cost: StepCost) => void;
