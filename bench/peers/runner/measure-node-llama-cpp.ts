/**
 * A process that measures node-llama-cpp once and prints the rates as JSON. Its first argument is JSON: the GGUF file and
 * the workload.
 */
import { loadPeer } from "./peer-package.ts";
import type { Rates, Workload } from "./contender.ts";
import { NODE_LLAMA_CPP } from "./node-llama-cpp.ts";

/** The part of node-llama-cpp that is used; its types are not there where it is not installed. */
interface NodeLlamaCpp {
  getLlama(options: object): Promise<Llama>;
}

interface Llama {
  systemInfo: string;
  loadModel(options: { modelPath: string }): Promise<Model>;
}

interface Model {
  createContext(options: { contextSize: number; threads: number }): Promise<{ getSequence(): Sequence }>;
}

interface Sequence {
  clearHistory(): Promise<void>;
  evaluateWithoutGeneratingNewTokens(tokens: number[]): Promise<void>;
  evaluate(tokens: number[], options: object): AsyncIterable<number>;
}

/** Ids below this are tokens of every model that is measured. */
const FEW_IDS = 1000;

async function measure({
  path,
  threads,
  promptTokens,
  decodePromptTokens,
  newTokens,
}: Workload & { path: string }): Promise<Rates & { systemInfo: string }> {
  const peer = await loadPeer<NodeLlamaCpp>(NODE_LLAMA_CPP);
  const llama = await peer.getLlama({ gpu: false, build: "never", logLevel: "error" });
  const model = await llama.loadModel({ modelPath: path });
  const contextSize = Math.max(promptTokens, decodePromptTokens + newTokens) + 1;
  const sequence = (await model.createContext({ contextSize, threads })).getSequence();
  const prompt = randomIds(promptTokens);

  // The first pass touches every weight; it counts nowhere.
  await sequence.evaluateWithoutGeneratingNewTokens(prompt);
  await sequence.clearHistory();
  const prefillStart = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(prompt);
  const prefillSeconds = (performance.now() - prefillStart) / 1000;

  await sequence.clearHistory();
  const ids = randomIds(decodePromptTokens + 1);
  await sequence.evaluateWithoutGeneratingNewTokens(ids.slice(0, -1));
  const decodeStart = performance.now();
  const tokens = sequence
    .evaluate(ids.slice(-1), { temperature: 0, yieldEogToken: true })
    [Symbol.asyncIterator]();
  let decoded = 0;
  while (decoded < newTokens && (await tokens.next()).done !== true) {
    decoded++;
  }
  const decodeSeconds = (performance.now() - decodeStart) / 1000;
  if (decoded !== newTokens) {
    throw new Error(`The text ended after ${decoded} of ${newTokens} tokens.`);
  }
  return {
    prefillTokensPerSecond: promptTokens / prefillSeconds,
    decodeTokensPerSecond: newTokens / decodeSeconds,
    systemInfo: llama.systemInfo.trim(),
  };
}

function randomIds(count: number): number[] {
  return Array.from({ length: count }, () => Math.floor(Math.random() * FEW_IDS));
}

const result = await measure(JSON.parse(process.argv[2] ?? "") as Workload & { path: string });
process.stdout.write(`${JSON.stringify(result)}\n`);
// The native code has threads that keep the process.
process.exit();
