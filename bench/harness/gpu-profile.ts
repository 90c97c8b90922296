/** Measures where the time of a pass goes: every dispatch runs in a compute pass of its own, between two timestamps. */
import type { DecodeRequest } from "../../src/runtime/backend.ts";
import { ENCODE, FORWARD } from "../../src/runtime/program.ts";
import { headFor, type PassShape } from "../../src/runtime/webgpu/plan/dispatch.ts";
import type { WebGpuExecutable } from "../../src/runtime/webgpu/run/executable.ts";
import { encode, type Recorded, type Resources } from "../../src/runtime/webgpu/run/resources.ts";
import { MOST_SPANS, requireTimestamps, SpanTimer } from "../../src/runtime/webgpu/run/timestamps.ts";
import {
  laneBuffer,
  planTokenChoice,
  startTokenChoice,
  type ChoiceBufferName,
} from "../../src/runtime/webgpu/plan/token-choice.ts";

/** All dispatches of one kernel in a pass. */
export interface KernelTime {
  name: string;
  dispatches: number;
  seconds: number;
  /** Bytes that the dispatches must move at least. */
  bytes: number;
}

/** How often a step is run; the clock of an idle GPU needs some runs to rise. */
const DECODE_RUNS = 7;
const PREFILL_RUNS = 3;

/**
 * Kernels of one decode step behind a request's tokens, the most expensive first. Each dispatch counts with the median
 * of several runs; together they take longer than in a decode, where the next one may start before one ends. What the
 * cache has at the step's position is overwritten. Nothing else may run on the executable meanwhile.
 *
 * @param request a request of one row whose next token the GPU can choose
 * @throws ModelComposeError "unsupported" when the adapter has no timestamps
 */
export async function profileDecodeStep(
  executable: WebGpuExecutable,
  request: DecodeRequest,
): Promise<KernelTime[]> {
  const { resources, program, rows } = executable;
  const { body, head } = await resources.form(FORWARD, "one");
  const chosen = await resources.choice(planTokenChoice(request.sampling, program.vocabSize), 0, true);
  const dispatches = [...body, ...head, ...chosen];
  const begin = (): PassShape => {
    for (const [name, words] of Object.entries(startTokenChoice(request, program.vocabSize))) {
      resources.context.device.queue.writeBuffer(
        resources.buffer(laneBuffer(name as ChoiceBufferName, 0, true)),
        0,
        words,
      );
    }
    return rows.write({
      tokens: request.tokens,
      slots: Int32Array.of(request.slot),
      positions: Int32Array.of(request.position),
      sourceLength: request.sourceLength,
      logitRows: Int32Array.of(0),
    });
  };
  return kernelTimes([await timeDispatches(resources, dispatches, begin, DECODE_RUNS)]);
}

/**
 * Kernels of a prompt's passes from position 0 in slot 0, as `profileDecodeStep`: with the logits of its last token, or,
 * where there is an encoder, its one pass.
 *
 * @throws ModelComposeError "unsupported" when the adapter has no timestamps
 */
export async function profilePrefill(
  executable: WebGpuExecutable,
  prompt: Int32Array,
): Promise<KernelTime[]> {
  const { resources, rows, maxRows, program } = executable;
  const encodes = program.architecture === "seq2seq";
  const entry = encodes ? ENCODE : FORWARD;
  const times: DispatchTime[][] = [];
  for (let position = 0; position < prompt.length; position += maxRows) {
    const tokens = prompt.slice(position, position + maxRows);
    const hasHead = !encodes && position + tokens.length === prompt.length;
    const form = rows.formOf({ rows: tokens.length, length: position + tokens.length });
    const { body } = await resources.form(entry, form);
    const { head } = await resources.form(entry, headFor(1));
    const begin = (): PassShape =>
      rows.write({
        tokens,
        slots: new Int32Array(tokens.length),
        positions: tokens.map((_, r) => position + r),
        sourceLength: encodes ? tokens.length : undefined,
        logitRows: Int32Array.of(...(hasHead ? [tokens.length - 1] : [])),
      });
    times.push(await timeDispatches(resources, [...body, ...(hasHead ? head : [])], begin, PREFILL_RUNS));
  }
  return kernelTimes(times);
}

interface DispatchTime {
  kernel: string;
  seconds: number;
  bytes: number;
}

/** Takes the times of the dispatches that have something to do. */
async function timeDispatches(
  resources: Resources,
  dispatches: readonly Recorded[],
  begin: () => PassShape,
  runs: number,
): Promise<DispatchTime[]> {
  const { context } = resources;
  requireTimestamps(context);
  const shape = begin();
  const busy = dispatches.filter(({ dispatch }) => dispatch.workgroups(shape).every((count) => count > 0));
  const samples: Float64Array[][] = [];
  for (let first = 0; first < busy.length; first += MOST_SPANS) {
    const part = busy.slice(first, first + MOST_SPANS);
    const times = await SpanTimer.create(context, part.length);
    try {
      const ofPart: Float64Array[] = [];
      for (let run = 0; run < runs; run++) {
        begin(); // a step moves its rows on
        const encoder = context.device.createCommandEncoder();
        for (const [i, recorded] of part.entries()) {
          const compute = encoder.beginComputePass(times.around(i));
          encode(compute, [recorded], shape);
          compute.end();
        }
        times.resolve(encoder);
        context.device.queue.submit([encoder.finish()]);
        ofPart.push(await times.read());
      }
      samples.push(ofPart);
    } finally {
      times.release();
    }
  }
  return busy.map(({ dispatch }, i) => {
    const ofPart = samples[Math.floor(i / MOST_SPANS)];
    const seconds = ofPart.map((times) => times[i % MOST_SPANS]).sort((a, b) => a - b);
    return { kernel: dispatch.spec.name, seconds: seconds[runs >> 1], bytes: dispatch.bytes(shape) };
  });
}

function kernelTimes(passes: readonly (readonly DispatchTime[])[]): KernelTime[] {
  const kernels = new Map<string, KernelTime>();
  for (const { kernel: name, seconds, bytes } of passes.flat()) {
    const kernel = kernels.get(name) ?? { name, dispatches: 0, seconds: 0, bytes: 0 };
    kernel.dispatches++;
    kernel.seconds += seconds;
    kernel.bytes += bytes;
    kernels.set(name, kernel);
  }
  return [...kernels.values()].sort((a, b) => b.seconds - a.seconds);
}
