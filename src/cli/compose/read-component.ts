import type { Precision } from "../../runtime/generation-types.ts";
import { anonymousIds, type ComponentDefinition, type TextGenerationAction } from "./definition.ts";
import { isText, type MappingReader } from "./mapping-reader.ts";
import {
  checkParameter,
  generationParameterNames,
  unsupportedParameter,
  type GenerationParameterName,
} from "./parameters.ts";
import type { ProblemList } from "./problems.ts";
import { readRuntime } from "./read-controller.ts";
import { readModel } from "./read-model.ts";
import { describeNode, literalValue, type MappingEntry, type SourceNode } from "./source-tree.ts";

const otherTypes = [
  "http-server",
  "http-client",
  "mcp-server",
  "mcp-client",
  "shell",
  "workflow",
  "vector-store",
  "key-value-store",
  "text-splitter",
  "image-processor",
  "video-processor",
  "audio-processor",
  "web-scraper",
  "web-browser",
  "datasets",
  "model-trainer",
];
const otherTasks = [
  "chat-completion",
  "text-to-text",
  "text-classification",
  "text-embedding",
  "text-reranking",
  "summarization",
  "translation",
  "image-to-text",
  "image-generation",
  "image-upscale",
  "text-to-speech",
  "speech-to-text",
  "face-embedding",
];
const otherDrivers = ["llamacpp", "vllm", "custom", "unsloth"];

/** The keys of an action, which the older dialect writes directly into the component. */
const actionKeys = ["prompt", "text", "stream", "params", "output", ...generationParameterNames];

/** Reads a component of type model with task text-generation, in either dialect. */
export function readComponent(reader: MappingReader, problems: ProblemList): ComponentDefinition | undefined {
  if (!readKind(reader)) return undefined;
  const id = readId(reader, anonymousIds.component);
  const model = readModel(reader, problems);
  const architecture = reader.choice("architecture", ["auto", "causal"], ["seq2seq"]) ?? "auto";
  const device = readDevice(reader, problems);
  const precision = readPrecision(reader, problems);
  readRuntime(reader);
  const contextLength = reader.integer("context_length", 1);
  const isDefault = reader.flag("default") ?? false;
  reader.flag("preload");
  reader.flag("fast_tokenizer");
  reader.flag("low_cpu_mem_usage");
  reader.integer("max_concurrent_count", 0);
  reader.choice("device_mode", ["auto", "single"]);
  // What configures the original's Python runtime.
  reader.withoutEffect("max_seq_length", "runtime_spec", "on_demand", "threaded");
  reader.refuse("peft_adapters", "options");
  const actions = readActions(reader, problems);
  reader.finish();
  if (model === undefined || device === undefined || actions === undefined) return undefined;
  const location = reader.firstLine();
  return { id, default: isDefault, model, architecture, device, precision, contextLength, actions, location };
}

/** Type, task and driver; false when this is something else, whose keys are then not worth a word. */
function readKind(reader: MappingReader): boolean {
  const kinds: [string, string, readonly string[]][] = [
    ["type", "model", otherTypes],
    ["task", "text-generation", otherTasks],
  ];
  for (const [key, supported, refused] of kinds) {
    if (reader.take(key) === undefined) reader.missing(key, `Add ${key}: ${supported}.`);
    else if (reader.choice(key, [supported], refused) === undefined) return false;
  }
  return (
    reader.take("driver") === undefined ||
    reader.choice("driver", ["huggingface"], otherDrivers) !== undefined
  );
}

export function readId(reader: MappingReader, fallback: string): string {
  const isId = (value: unknown): value is string =>
    isText(value) && /^[\p{L}\p{N}_][\p{L}\p{N}_.-]*$/u.test(value);
  return reader.literal("id", "letters, digits, _, - and .", isId) ?? fallback;
}

/** Decision 3: the original's names of accelerators mean a hardware WebGPU adapter. */
function readDevice(reader: MappingReader, problems: ProblemList): string | undefined {
  const entry = reader.take("device");
  if (entry === undefined) return "auto";
  const device = reader.literalOf("device", entry.value, "a text", isText);
  if (device === undefined) return undefined;
  const mapped = deviceOf(device);
  if (mapped === undefined) {
    problems.invalid(
      `${reader.where}: device ${JSON.stringify(device)} is unknown.`,
      entry.value.location,
      "Devices: auto, cpu, wasm, gpu, cuda, cuda:N, mps, webgpu, webgpu:NAME.",
    );
  }
  return mapped;
}

/** A device as a compose file or a flag names it, as `loadModel` names it; undefined when it is unknown. */
export function deviceOf(name: string): string | undefined {
  if (name === "auto" || name === "wasm") return name;
  if (name === "cpu") return "wasm";
  if (["gpu", "cuda", "mps", "webgpu"].includes(name) || /^cuda:\d+$/.test(name)) return "webgpu";
  return /^webgpu:.+$/.test(name) ? name : undefined;
}

/** The original's names of precisions, in `precision` or `quantization`; both may not name one. */
function readPrecision(reader: MappingReader, problems: ProblemList): Precision {
  const refused = ["int8", "int4", "fp4", "nf4"];
  const precision = reader.choice("precision", ["auto", ...PRECISION_NAMES], refused);
  const entry = reader.take("quantization");
  if (entry?.value.kind === "mapping") {
    problems.unsupported(
      `${reader.where}: quantization is known in model-compose, but not supported here yet.`,
      entry.key,
      'Remove "quantization".',
    );
    return "stored";
  }
  const quantization =
    entry && reader.choiceOf("quantization", entry.value, ["none", ...PRECISION_NAMES], refused);
  const given = [precision, quantization]
    .filter((name) => name !== undefined)
    .map((name) => PRECISIONS[name]);
  const [first = "stored", second = "stored"] = given.filter((name) => name !== "stored");
  if (entry !== undefined && second !== "stored") {
    problems.invalid(
      `${reader.where} gives its precision in two places, "precision" and "quantization".`,
      entry.value.location,
      'Remove "quantization".',
    );
  }
  return first;
}

const PRECISION_NAMES = ["float32", "float16", "bfloat16", "fp32", "fp16", "bf16"] as const;

const PRECISIONS: Readonly<Record<(typeof PRECISION_NAMES)[number] | "auto" | "none", Precision>> = {
  auto: "stored",
  none: "stored",
  float32: "float32",
  fp32: "float32",
  float16: "float16",
  fp16: "float16",
  bfloat16: "bfloat16",
  bf16: "bfloat16",
};

/** `action:`, `actions:`, or the action's keys written directly into the component. */
function readActions(reader: MappingReader, problems: ProblemList): TextGenerationAction[] | undefined {
  const written = reader.oneOrMany("action", "actions");
  const inline = actionKeys.filter((key) => reader.has(key));
  if (written.length === 0) return single(readAction(reader, problems, true));
  for (const key of inline) {
    const entry = reader.take(key);
    if (entry === undefined) continue;
    problems.invalid(
      `${reader.where} has "${key}" beside its action.`,
      entry.key,
      "Move it into the action.",
    );
  }
  const actions = written.map(({ key, node }) => {
    const action = reader.mappingOf(key, node, `action of ${reader.where}`);
    const read = action === undefined ? undefined : readAction(action, problems, false);
    action?.finish();
    return read;
  });
  if (!actions.every((action) => action !== undefined)) return undefined;
  reportDuplicateIds(actions, `action of ${reader.where}`, problems);
  return actions;
}

function single<T>(value: T | undefined): T[] | undefined {
  return value === undefined ? undefined : [value];
}

function readAction(
  reader: MappingReader,
  problems: ProblemList,
  inline: boolean,
): TextGenerationAction | undefined {
  const id = inline ? anonymousIds.action : readId(reader, anonymousIds.action);
  const isDefault = inline ? false : (reader.flag("default") ?? false);
  const prompt = reader.takeOneOf("prompt", "text");
  const parameters = readParameters(reader, problems);
  const output = reader.take("output")?.value;
  if (prompt === undefined) {
    reader.missing("prompt", "Add prompt: ${input.prompt as text} (or text:, as older files call it).");
    return undefined;
  }
  checkStreaming(reader.where, prompt.value, parameters, problems);
  const location = reader.firstLine();
  return { id, default: isDefault, prompt: prompt.value, parameters, output, location };
}

/** Parameters may stand in the action or in its `params`, each in one of them. */
function readParameters(
  reader: MappingReader,
  problems: ProblemList,
): ReadonlyMap<GenerationParameterName, SourceNode> {
  const params = reader.mapping("params", `params of ${reader.where}`);
  const found = new Map<GenerationParameterName, SourceNode>();
  for (const name of generationParameterNames) {
    const aliases = name === "streaming" ? ["streaming", "stream"] : [name];
    const own = reader.takeOneOf(...aliases);
    const nested = params?.takeOneOf(...aliases);
    if (own !== undefined && nested !== undefined) {
      problems.invalid(
        `${reader.where} gives "${name}" in two places: itself and its params.`,
        nested.key,
        "Keep one of them.",
      );
    }
    const entry = own ?? nested;
    if (entry === undefined) continue;
    found.set(name, entry.value);
    checkLiteral(reader.where, name, entry, problems);
  }
  params?.finish();
  return found;
}

function checkLiteral(
  where: string,
  name: GenerationParameterName,
  entry: MappingEntry,
  problems: ProblemList,
): void {
  const literal = literalValue(entry.value);
  if (literal === undefined) return;
  const checked = checkParameter(name, literal.value);
  if ("expected" in checked) {
    problems.invalid(
      `${where}: ${name} must be ${checked.expected}, found ${describeNode(entry.value)}.`,
      entry.value.location,
    );
    return;
  }
  const unsupported = unsupportedParameter(name, checked.value);
  if (unsupported !== undefined) {
    problems.unsupported(unsupported.message, entry.value.location, unsupported.remedy);
  }
}

/** A stream is of one text; what is known at load is said at load. */
function checkStreaming(
  where: string,
  prompt: SourceNode,
  parameters: ReadonlyMap<GenerationParameterName, SourceNode>,
  problems: ProblemList,
): void {
  const valueOf = (name: GenerationParameterName): unknown => {
    const node = parameters.get(name);
    return node === undefined ? undefined : literalValue(node)?.value;
  };
  if (valueOf("streaming") !== true) return;
  const several = valueOf("num_return_sequences");
  if (prompt.kind === "list") {
    problems.invalid(`${where}: a stream is of one text, found a list of prompts.`, prompt.location, oneText);
  } else if (typeof several === "number" && several > 1) {
    const node = parameters.get("num_return_sequences");
    problems.invalid(
      `${where}: a stream is of one text, found num_return_sequences ${several}.`,
      node?.location,
      oneText,
    );
  }
}

const oneText = "Remove streaming, or ask for one text.";

/** Two things of a kind with one id. */
export function reportDuplicateIds(
  things: readonly { readonly id: string; readonly location?: SourceNode["location"] }[],
  what: string,
  problems: ProblemList,
): void {
  const seen = new Set<string>();
  for (const { id, location } of things) {
    if (seen.has(id)) {
      problems.invalid(`there are two ${what} with the id "${id}".`, location, "Give each an id of its own.");
    }
    seen.add(id);
  }
}
