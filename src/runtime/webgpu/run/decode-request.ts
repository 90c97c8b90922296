/** What may be asked of a decode on a GPU, for benchmarks. */
import type { DecodeRequest } from "../../backend.ts";

/** What a step cost the calling thread. */
export interface StepCost {
  dispatches: number;
  /** Seconds from the command encoder to the finished command buffer. */
  encodeSeconds: number;
  /** Seconds to submit the command buffer and to ask for its result. */
  submitSeconds: number;
}

export interface GpuDecodeRequest extends DecodeRequest {
  /** Whether to measure how long kernels run, which costs some speed. */
  profile?: boolean;
  /** Called for every step that is submitted and computes a whole pass; for benchmarks. */
  onStep?: (cost: StepCost) => void;
}
