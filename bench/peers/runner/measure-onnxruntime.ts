/** A process that measures ONNX Runtime once and prints the rates as JSON. Its first argument is JSON: OnnxSettings. */
import { pastOf, presentOf } from "../onnx/decoder-graph.ts";
import type { Rates } from "./contender.ts";
import { ONNXRUNTIME, type OnnxSettings } from "./onnxruntime.ts";
import { loadPeer } from "./peer-package.ts";

/** The part of onnxruntime-node that is used; its types are not there where it is not installed. */
interface OnnxRuntime {
  InferenceSession: { create(path: string, options: object): Promise<Session> };
  Tensor: new (type: string, data: Float32Array | Int32Array, dims: readonly number[]) => Tensor;
}

interface Session {
  run(feeds: Feeds): Promise<Feeds>;
}

interface Tensor {
  readonly data: Float32Array;
}

type Feeds = Record<string, Tensor>;

async function measure(settings: OnnxSettings): Promise<Rates> {
  const { path, model, threads, promptTokens, decodePromptTokens, newTokens } = settings;
  const { InferenceSession, Tensor } = await loadPeer<OnnxRuntime>(ONNXRUNTIME);
  const session = await InferenceSession.create(path, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: "all",
  });
  const layers = Array.from({ length: model.layers }, (_, layer) => layer);
  const kinds = ["key", "value"] as const;

  const mostTokens = Math.max(promptTokens, decodePromptTokens);
  const noise = Float32Array.from({ length: mostTokens * model.hiddenSize }, () => Math.random() - 0.5);

  /** Runs tokens after `past` others, whose keys and values `caches` holds. */
  const pass = async (tokens: number, past: number, caches: Feeds): Promise<Feeds> => {
    const embedded = noise.subarray(0, tokens * model.hiddenSize);
    const total = past + tokens;
    const output = await session.run({
      ...caches,
      embedded: new Tensor("float32", embedded, [1, tokens, model.hiddenSize]),
      last_positions: new Tensor("int32", Int32Array.of(total - 1), [1]),
      total_length: new Tensor("int32", Int32Array.of(total), [1]),
    });
    likeliest(output.logits.data);
    return Object.fromEntries(
      layers.flatMap((layer) => kinds.map((kind) => [pastOf(layer, kind), output[presentOf(layer, kind)]])),
    );
  };
  const nothing = (): Feeds => {
    const empty = new Tensor("float32", new Float32Array(), [1, model.kvHeads, 0, model.headDim]);
    return Object.fromEntries(
      layers.flatMap((layer) => kinds.map((kind) => [pastOf(layer, kind), empty] as const)),
    );
  };

  // The first pass makes buffers and touches every weight; it counts nowhere.
  await pass(promptTokens, 0, nothing());
  const prefillStart = performance.now();
  await pass(promptTokens, 0, nothing());
  const prefillSeconds = (performance.now() - prefillStart) / 1000;

  let caches = await pass(decodePromptTokens, 0, nothing());
  const decodeStart = performance.now();
  for (let i = 0; i < newTokens; i++) {
    caches = await pass(1, decodePromptTokens + i, caches);
  }
  const decodeSeconds = (performance.now() - decodeStart) / 1000;
  return {
    prefillTokensPerSecond: promptTokens / prefillSeconds,
    decodeTokensPerSecond: newTokens / decodeSeconds,
  };
}

/** The index of the largest logit: what choosing a token costs is measured with the pass. */
function likeliest(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) {
    if (logits[i] > logits[best]) {
      best = i;
    }
  }
  return best;
}

const result = await measure(JSON.parse(process.argv[2] ?? "") as OnnxSettings);
process.stdout.write(`${JSON.stringify(result)}\n`);
