import type { Precision } from "../../runtime/device-types.ts";
import type { Architecture } from "../../runtime/generation/types.ts";
import {
  anonymousIds,
  type ComponentDefinition,
  type ModelAction,
  type ModelComponent,
  type ModelTask,
} from "./definition.ts";
import { isText, type MappingReader } from "./mapping-reader.ts";
import type { ProblemList } from "../source/problems.ts";
import { readActions } from "./read-actions.ts";
import { readRuntime } from "./read-controller.ts";
import { chatCompletionKeys, readChatCompletionAction } from "./read-chat-completion.ts";
import { readHttpClient } from "./read-http-client.ts";
import { readId } from "./read-ids.ts";
import { readPresence } from "./read-on-demand.ts";
import { readModel } from "./read-model.ts";
import { readTextGenerationAction, textGenerationKeys } from "./read-text-generation.ts";
import { readTextToTextAction, textToTextKeys } from "./read-text-to-text.ts";
import { readWorkflowComponent } from "./read-workflow-component.ts";

const otherTypes = [
  "http-server",
  "mcp-server",
  "mcp-client",
  "shell",
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
  "agent",
];
const otherTasks = [
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

/** Reads a component of any type, in either dialect. A component of an unknown type is not read further. */
export function readComponent(reader: MappingReader, problems: ProblemList): ComponentDefinition | undefined {
  if (reader.take("type") === undefined) {
    reader.missing("type", "Add type: model.");
    return readModelComponent(reader, problems);
  }
  switch (reader.choice("type", ["model", "http-client", "workflow"], otherTypes)) {
    case "model":
      return readModelComponent(reader, problems);
    case "http-client":
      return readHttpClient(reader, problems);
    case "workflow":
      return readWorkflowComponent(reader, problems);
    case undefined:
      return undefined;
  }
}

interface TaskReader {
  /** The keys of an action, which the older dialect writes directly into the component. */
  readonly keys: readonly string[];
  readonly readAction: (
    reader: MappingReader,
    problems: ProblemList,
    inline: boolean,
  ) => ModelAction | undefined;
  /** The architectures that a model of the task may have. */
  readonly architectures: readonly Architecture[];
  /** The families that `architecture` may name in newer versions of model-compose: those that are here, and others. */
  readonly families: readonly string[];
  readonly otherFamilies: readonly string[];
}

const TASKS: Readonly<Record<ModelTask, TaskReader>> = {
  "text-generation": {
    keys: textGenerationKeys,
    readAction: readTextGenerationAction,
    architectures: ["causal", "seq2seq"],
    families: [],
    otherFamilies: [],
  },
  "text-to-text": {
    keys: textToTextKeys,
    readAction: readTextToTextAction,
    architectures: ["seq2seq"],
    families: ["bart"],
    otherFamilies: ["t5", "marian", "pegasus", "mbart"],
  },
  "chat-completion": {
    keys: chatCompletionKeys,
    readAction: readChatCompletionAction,
    architectures: ["causal", "seq2seq"],
    families: [],
    otherFamilies: [],
  },
};

/** Reads a component of type model. */
function readModelComponent(reader: MappingReader, problems: ProblemList): ModelComponent | undefined {
  const task = readTask(reader);
  if (task === undefined) {
    return undefined;
  }
  const { keys, readAction } = TASKS[task];
  const id = readId(reader, anonymousIds.component);
  const model = readModel(reader, problems);
  const architecture = readArchitecture(reader, problems, task);
  const device = readDevice(reader, problems);
  const heldAs = readPrecision(reader, problems);
  readRuntime(reader);
  const contextLength = reader.integer("context_length", 1);
  const maxBeams = reader.integer("max_beams", 1);
  const passTimeout = reader.duration("pass_timeout");
  const isDefault = reader.flag("default") ?? false;
  const presence = readPresence(reader);
  reader.flag("fast_tokenizer");
  reader.flag("low_cpu_mem_usage");
  const maxConcurrentCount = reader.integer("max_concurrent_count", 0) ?? 0;
  reader.choice("device_mode", ["auto", "single"]);
  // These keys configure the Python runtime of the Python model-compose.
  reader.withoutEffect("max_seq_length", "runtime_spec", "threaded");
  reader.refuse("peft_adapters", "options");
  const actions = readActions(reader, problems, keys, (action, inline) =>
    readAction(action, problems, inline),
  );
  reader.finish();
  if (model === undefined || device === undefined || actions === undefined) {
    return undefined;
  }
  return {
    type: "model",
    task,
    id,
    default: isDefault,
    maxConcurrentCount,
    model,
    ...architecture,
    device,
    ...heldAs,
    contextLength,
    maxBeams,
    passTimeout,
    ...presence,
    actions,
    location: reader.firstLine(),
  };
}

/** Reads task and driver; undefined when either is not supported: the keys of another one are not worth a word. */
function readTask(reader: MappingReader): ModelTask | undefined {
  let task: ModelTask | undefined = "text-generation";
  if (reader.take("task") === undefined) {
    reader.missing("task", "Add task: text-generation.");
  } else {
    task = reader.choice("task", Object.keys(TASKS) as ModelTask[], otherTasks);
  }
  if (task === undefined || reader.take("driver") === undefined) {
    return task;
  }
  return reader.choice("driver", ["huggingface"], otherDrivers) === undefined ? undefined : task;
}

/** The architecture, or the family, that the file says the model has; loading compares it with the model's configuration. */
function readArchitecture(
  reader: MappingReader,
  problems: ProblemList,
  task: ModelTask,
): Pick<ModelComponent, "architecture" | "family"> {
  const { architectures, families, otherFamilies } = TASKS[task];
  const supported = ["auto", "causal", "seq2seq", ...families];
  const found = reader.choice("architecture", supported, otherFamilies);
  if (found !== undefined && families.includes(found)) {
    return { family: found };
  }
  const architecture = architectures.find((name) => name === found);
  if (found !== undefined && found !== "auto" && architecture === undefined) {
    problems.invalid(
      `${reader.where}: task ${task} is of encoder–decoders (architecture: seq2seq), found architecture: ${found}.`,
      reader.take("architecture")?.value.location,
      "Remove architecture, or write task: text-generation.",
    );
  }
  // A task that is of one architecture needs it.
  return { architecture: architecture ?? (architectures.length === 1 ? architectures[0] : undefined) };
}

/** Reads `device`. The Python model-compose's names of accelerators (gpu, cuda, mps) mean a hardware WebGPU adapter. */
function readDevice(reader: MappingReader, problems: ProblemList): string | undefined {
  const entry = reader.take("device");
  if (entry === undefined) {
    return "auto";
  }
  const device = reader.literalOf("device", entry.value, "a text", isText);
  if (device === undefined) {
    return undefined;
  }
  const mapped = deviceOf(device);
  if (mapped === undefined) {
    problems.invalid(
      `${reader.where}: device ${JSON.stringify(device)} is unknown.`,
      entry.value.location,
      "Devices: auto, cpu, wasm, gpu, cuda, cuda:N, mps, webgpu, webgpu:NAME (--device webgpu:? lists the names).",
    );
  }
  return mapped;
}

/** The device as `loadModel` names it, for a device as a compose file or a flag names it; undefined: it is unknown. */
export function deviceOf(name: string): string | undefined {
  if (name === "auto" || name === "wasm") {
    return name;
  }
  if (name === "cpu") {
    return "wasm";
  }
  if (["gpu", "cuda", "mps", "webgpu"].includes(name) || /^cuda:\d+$/.test(name)) {
    return "webgpu";
  }
  return /^webgpu:(?!\?$).*\S.*$/.test(name) ? name : undefined;
}

/** What takes the place of the Python model-compose's four-bit types. */
const FOUR_BITS = 'Write "quantization: int4", which takes as little memory.';

/** What weights are held as. */
type HeldAs = Pick<ModelComponent, "precision" | "quantization" | "activations" | "kvPrecision">;

/**
 * Reads `precision` and `quantization`. As in the Python model-compose the second may name a precision too; both may not name
 * one. Of a mapping `type` counts; what else it has says how the Python model-compose would quantise.
 */
function readPrecision(reader: MappingReader, problems: ProblemList): HeldAs {
  const precision = reader.choice("precision", ["auto", ...PRECISION_NAMES], {
    int8: 'Write "quantization: int8".',
    int4: 'Write "quantization: int4".',
    fp4: FOUR_BITS,
    nf4: FOUR_BITS,
  });
  const entry = reader.take("quantization");
  const activations = reader.choice("activations", ["int8", "float32"]);
  const kvPrecision = reader.choice("kv_precision", ["float32", "float16"]);
  let node = entry?.value;
  const inner =
    node?.kind === "mapping"
      ? reader.mappingOf("quantization", node, `${reader.where}: quantization`)
      : undefined;
  if (inner !== undefined) {
    inner.withoutEffect("compute_dtype", "double_quant");
    node = inner.take("type")?.value;
    inner.finish();
  }
  const names = ["none", "int8", "int4", "auto", ...PRECISION_NAMES] as const;
  const named = node && reader.choiceOf("quantization", node, names, { fp4: FOUR_BITS, nf4: FOUR_BITS });
  if (named === "int8" || named === "int4" || named === "auto") {
    return { precision: PRECISIONS[precision ?? "auto"], quantization: named, activations, kvPrecision };
  }
  const given = [precision, named].filter((name) => name !== undefined).map((name) => PRECISIONS[name]);
  const [first = "stored", second = "stored"] = given.filter((name) => name !== "stored");
  if (entry !== undefined && second !== "stored") {
    problems.invalid(
      `${reader.where} gives its precision in two places, "precision" and "quantization".`,
      entry.value.location,
      'Remove "quantization".',
    );
  }
  return { precision: first, quantization: "none", activations, kvPrecision };
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
