/**
 * The language of compose files as tables: every key with its values, default and meaning. The reference in
 * docs/compose-file.md and the JSON Schema for editors are made of it; test/compose-language.test.ts compares it with what
 * the program reads.
 */
import {
  composeDefaults,
  generationParameterNames,
  type GenerationParameterName,
} from "../../src/compose/definition/parameters.ts";
import { defaultLimits } from "../../src/compose/definition/limits.ts";
import { operators } from "../../src/compose/definition/operators.ts";
import {
  countTemplate,
  durationTemplate,
  durationValue,
  either,
  flag,
  freeText,
  headerTemplates,
  integer,
  kind,
  listOf,
  name,
  oneOf,
  parameter,
  part,
  pattern,
  size,
  template,
  templates,
  text,
  textTemplate,
  type JsonSchema,
  type Value,
} from "./language-values.ts";

/** A key of a mapping. */
export interface Key {
  readonly name: string;
  /** Other spellings; at most one of all may be written. */
  readonly aliases?: readonly string[];
  /** The spelling for a list of such values, in place of a single one. */
  readonly plural?: string;
  readonly value: Value;
  /** Whether it is a parameter of generation, which stands in many mappings. */
  readonly isParameter?: true;
  /** As Markdown. Absent: the key has none. */
  readonly default?: string;
  readonly required?: boolean;
  readonly meaning: string;
}

/** A mapping of the language. */
export interface Part {
  /** Its name in the JSON Schema and its anchor in the reference. */
  readonly name: string;
  readonly title: string;
  readonly about: string;
  readonly keys: readonly Key[];
  /** Keys of the Python model-compose that are read and change nothing. */
  readonly withoutEffect?: readonly string[];
  /** Keys of the Python model-compose that are refused by name. */
  readonly refused?: readonly string[];
  /** What the JSON Schema has beside the keys. */
  readonly rules?: JsonSchema;
  /** Whether the reference leaves the part out, since another one tells of its keys. */
  readonly hidden?: boolean;
}

/** Writes a default as Markdown. */
const shown = (value: unknown): string => `\`${JSON.stringify(value)}\``.replaceAll('"', "");

const id: Key = {
  name: "id",
  value: pattern("letters, digits, `_`, `-` and `.`", "^[\\p{L}\\p{N}_][\\p{L}\\p{N}_.-]*$"),
  meaning: "The name by which other parts of the file, the API and commands call it.",
};
const isDefault: Key = {
  name: "default",
  value: flag,
  default: "`false`",
  meaning: "Of several: the one that is meant where none is named. At most one has it.",
};
const maxConcurrentCount: Key = {
  name: "max_concurrent_count",
  value: integer(0),
  default: "`0`",
  meaning: "How many calls of the component go on at once, over all runs; 0 is no bound.",
};
const runtime: Key = {
  name: "runtime",
  value: either("`native`, or a mapping with that `type`", oneOf("native"), {
    text: "",
    schema: { type: "object", properties: { type: oneOf("native").schema }, additionalProperties: false },
  }),
  default: "`native`",
  meaning: "Accepted as the Python model-compose has it: everything runs in this program.",
};
const output = (meaning: string): Key => ({ name: "output", value: template, meaning });

const ORIGIN = "(\\*|[a-z]+://[^\\s/,?#]+)";
const origin = pattern("", `^${ORIGIN}$`);
const origins = pattern("", `^\\s*${ORIGIN}(\\s*,\\s*${ORIGIN})*\\s*$`);

const adapterKeys: readonly Key[] = [
  {
    name: "type",
    value: oneOf("http-server"),
    default: "`http-server`",
    meaning: "How the workflows are served: over HTTP.",
  },
  {
    name: "host",
    value: text,
    default: "`127.0.0.1`",
    meaning:
      "The address to listen on. Any other than this machine's own wants an API key; see [deployment](deployment.md).",
  },
  { name: "port", value: integer(1, 65_535), default: "`8080`", meaning: "The port of the API." },
  {
    name: "base_path",
    value: pattern("path that begins with `/`, or an empty text", "^(/[^\\s?#]*)?$"),
    default: "`/api`",
    meaning: "What the paths of the API begin with. OpenAI's and Anthropic's APIs always stand at `/v1`.",
  },
  {
    name: "origins",
    value: either(
      'origins such as `https://example.com:8443`, one, several behind commas or a list; `"*"` is any',
      origins,
      listOf(origin, ""),
    ),
    default: "none but the Web UI",
    meaning: "Web pages that may use the API from a browser.",
  },
  {
    name: "max_body_size",
    value: size,
    default: "`1MB`",
    meaning: "The largest body of a request; a larger one is refused with 413.",
  },
  {
    name: "api_key",
    value: name,
    meaning:
      "The key that requests must show. `MODEL_COMPOSE_API_KEY` sets it without writing it into a file.",
  },
  {
    name: "api_key_file",
    value: name,
    meaning: "A file with the key, relative to the compose file; not beside `api_key`.",
  },
];

const modelCommon: readonly Key[] = [
  id,
  isDefault,
  {
    name: "model",
    value: either("text, or a [mapping](#model)", name, part("model", "mapping")),
    required: true,
    meaning:
      "The model: `tales` (bundled), a folder (`./name`, `../name`, `~/name`, `/name`, or the name of a folder beside the file), or a repository on the Hugging Face hub.",
  },
  {
    name: "driver",
    value: oneOf("huggingface"),
    default: "`huggingface`",
    meaning: "Accepted as the Python model-compose has it; models run in this program's own runtime.",
  },
  {
    name: "device",
    value: pattern(
      "`auto`, `cpu` (`wasm`), `gpu` (`webgpu`, `cuda`, `cuda:N`, `mps`), `webgpu:NAME`",
      "^(auto|wasm|cpu|gpu|cuda|mps|webgpu|cuda:\\d+|webgpu:(?!\\?$).*\\S.*)$",
    ),
    default: "`auto`",
    meaning: "Where the model runs; see [devices](performance.md#devices).",
  },
  {
    name: "precision",
    value: oneOf("auto", "float32", "float16", "bfloat16", "fp32", "fp16", "bf16"),
    default: "`auto`: as the checkpoint has them",
    meaning: "How weights are held that are not quantised. A GPU takes them only as the checkpoint has them.",
  },
  {
    name: "quantization",
    value: either(
      "`none`, `int8`, `int4`, `auto`, or a precision; or a [mapping](#quantization)",
      oneOf("none", "int8", "int4", "auto", "float32", "float16", "bfloat16", "fp32", "fp16", "bf16"),
      part("quantization", "mapping"),
    ),
    default: "`none`",
    meaning:
      "Makes weights smaller while they are loaded; `auto` takes the most bits that fit. See [models](models.md#smaller-weights).",
  },
  {
    name: "activations",
    value: oneOf("int8", "float32"),
    default: "`int8`",
    meaning: "How the CPU multiplies with quantised weights: fast, or exact and slow.",
  },
  {
    name: "kv_precision",
    value: oneOf("float32", "float16"),
    default: "`float32`; `float16` where weights are quantised",
    meaning: "What the KV cache holds: `float16` takes half the memory.",
  },
  {
    name: "context_length",
    value: integer(1),
    default: "what the file's calls need, at most what the model has",
    meaning: "The most tokens of prompt and text together: an upper bound on the KV cache.",
  },
  {
    name: "max_beams",
    value: integer(1),
    default: "what the actions name",
    meaning: "How many beams calls may ask for; each takes a KV cache of its own.",
  },
  {
    name: "pass_timeout",
    value: durationValue,
    default: "`600s`",
    meaning:
      "How long a pass may show no progress; then the device counts as hung, and the model is loaded again.",
  },
  {
    name: "preload",
    value: flag,
    default: "`true`; `false` with `on_demand`",
    meaning: "Whether a server loads the model when it starts, and not at the first call.",
  },
  {
    name: "on_demand",
    value: either("`true`, `false`, or a [mapping](#on-demand)", flag, part("on-demand", "mapping")),
    default: "`false`",
    meaning: "Unloads the model when nobody has used it for a while, and loads it again when it is called.",
  },
  maxConcurrentCount,
  runtime,
  {
    name: "fast_tokenizer",
    value: flag,
    meaning: "Accepted; it configures Python and changes nothing here.",
  },
  {
    name: "low_cpu_mem_usage",
    value: flag,
    meaning: "Accepted; it configures Python and changes nothing here.",
  },
  {
    name: "device_mode",
    value: oneOf("auto", "single"),
    meaning: "Accepted; it configures Python and changes nothing here.",
  },
];
const modelWithoutEffect = ["max_seq_length", "runtime_spec", "threaded"];
const modelRefused = ["peft_adapters", "options"];

/** What the parameters of generation do, as Markdown. */
export const parameterMeanings: Readonly<Record<GenerationParameterName, string>> = {
  max_output_length: "The most new tokens. What the context does not hold is left out, with a warning.",
  min_output_length: "No end of text before this many new tokens.",
  max_input_length: "Keeps only the end of a longer prompt, with a warning.",
  temperature: "Divides the logits: lower is more predictable.",
  top_k: "Draws from the k likeliest tokens.",
  top_p: "Nucleus sampling: draws from the likeliest tokens that together reach p.",
  min_p: "Draws from tokens at least p times as likely as the likeliest.",
  repetition_penalty:
    "Above 1, tokens that are there already, in the prompt too, become less likely (CTRL); 1 is off.",
  frequency_penalty: "What a token's logit loses for each time that it is in the new text; 0 is off.",
  presence_penalty: "What a token's logit loses when it is in the new text; 0 is off.",
  logit_bias: "Numbers that are added to the logits of tokens, by their ids.",
  no_repeat_ngram_size: "No n tokens in a row twice.",
  encoder_no_repeat_ngram_size: "No n tokens in a row of the prompt in the new text.",
  do_sample:
    "Draws tokens (`true`), or always takes the likeliest (`false`). `temperature`, `top_k`, `top_p` and `min_p` mean sampling where this key is not written.",
  num_beams: "Beam search over so many texts at once; 1 is off.",
  length_penalty: "In a beam search: above 0 favours long texts, below 0 short ones.",
  early_stopping:
    "When a beam search ends: at once (`true`), when it is not likely to become better (`false`), or when it cannot (`never`).",
  num_return_sequences: "How many texts one prompt gets; more than 1 gives a list.",
  stop_sequences: "The text ends before the first of these.",
  ignore_eos: "Goes on past the end of text.",
  json_schema:
    "The text is JSON that this schema accepts. Of the keys from here to `choice` at most one may be given.",
  json_object: "The text is a JSON object.",
  regex: "The text is one that this regular expression matches as a whole.",
  choice: "The text is one of these.",
  logprobs: "Tells how likely each token was, and so many of the likeliest in its place.",
  seed: "Same seed, input and device: same text. Without it a seed is drawn, and told.",
  cache_prompt: "Whether a prompt that begins like an earlier one is read from where they part.",
  prompt_lookup:
    "Whether the CPU may draft tokens from the prompt and the text so far; no text is changed by it.",
  batch_size: "Of a list of prompts: how many go on at once. No text is changed by it.",
  streaming: "Whether the text is the output piece by piece. Not with several texts or beams.",
  return_full_text: "Whether the text begins with the prompt.",
};

/** The default of a parameter, as Markdown. */
function parameterDefault(name: GenerationParameterName): string {
  const known = composeDefaults[name as keyof typeof composeDefaults];
  if (known !== undefined) {
    return shown(known);
  }
  const others: Partial<Record<GenerationParameterName, string>> = {
    cache_prompt: "`true`",
    prompt_lookup: "`true`",
    ignore_eos: "`false`",
    seed: "drawn",
    max_input_length: "none",
    stop_sequences: "as the model's generation_config says",
    no_repeat_ngram_size: "as the model's generation_config says",
    encoder_no_repeat_ngram_size: "as the model's generation_config says",
    min_output_length: "as the model's generation_config says",
    frequency_penalty: "`0`",
    presence_penalty: "`0`",
  };
  return others[name] ?? "none";
}

const parameterKeys = (names: readonly GenerationParameterName[]): readonly Key[] =>
  names.map((name) => ({
    name,
    ...(name === "streaming" ? { aliases: ["stream"] } : {}),
    isParameter: true,
    value: parameter(name),
    default: parameterDefault(name),
    meaning: parameterMeanings[name],
  }));

const allParameters = parameterKeys(generationParameterNames);
const answerParameters = parameterKeys(
  generationParameterNames.filter((name) => name !== "return_full_text"),
);

const prompt = (name: string, alias: string): Key => ({
  name,
  aliases: [alias],
  value: template,
  required: true,
  meaning: "What the model continues or answers: a text, or a list of texts, which gives a list.",
});
const params = (name: string): Key => ({
  name: "params",
  // Both sorts of parameters have one table.
  value: { ...part(name, ""), text: "[parameters](#parameters)" },
  meaning: "The parameters of generation. Each may stand in the action itself instead.",
});
const resultOutput = output(
  "What the action gives, of `${result}` (the text). `${result[]}` makes it of each piece of a stream. Default: the text.",
);

const chatKeys: readonly Key[] = [
  {
    name: "messages",
    value: template,
    required: true,
    meaning:
      "The conversation: a list of messages (`role`, `content`), one message, or a text, which is a user's message. `...${input.history}` puts in a list. A list of conversations gives a list of answers.",
  },
  {
    name: "tools",
    value: template,
    meaning:
      "Functions that the model may call, as JSON schemas, in the form that OpenAI's API has. One with `strict: true` holds the arguments of its calls to its schema.",
  },
  {
    name: "tool_choice",
    value: template,
    default: "`auto`",
    meaning:
      "Whether the model calls them: as it likes (`auto`), not (`none`), one must be called (`required`), the one of `{ name: … }`, or only some of them: `{ allowed: [names], mode: auto }`, or `required`.",
  },
  {
    name: "parallel_tool_calls",
    value: template,
    default: "`true`",
    meaning: "Whether an answer may have more than one call.",
  },
  { name: "documents", value: template, meaning: "Documents for chat templates that read them." },
  {
    name: "chat_template",
    value: template,
    default: "the model's own",
    meaning: "The name of one of the model's chat templates, or a Jinja template itself.",
  },
  {
    name: "chat_template_kwargs",
    value: template,
    meaning: "Variables of the chat template, such as `{ enable_thinking: false }`.",
  },
  {
    name: "reasoning_tags",
    value: template,
    default: "`[<think>, </think>]`",
    meaning: "The two texts that enclose what the model thinks; `false`: nothing is reasoning.",
  },
  {
    name: "tool_call_tags",
    value: template,
    default: "`[<tool_call>, </tool_call>]`",
    meaning: "The two texts that enclose a call of a tool.",
  },
];
const chatOutput = output(
  "What the action gives, of `${response}`: its `content`, `reasoning`, `tool_calls` and `message`; or of `${result}`, the answer alone, and `${result[]}`. Default: the answer.",
);

const httpActionKeys: readonly Key[] = [
  { name: "endpoint", value: textTemplate, meaning: "A whole URL, in place of `path`." },
  { name: "path", value: textTemplate, meaning: "A path behind the component's `base_url`." },
  {
    name: "method",
    value: oneOf("GET", "POST", "PUT", "DELETE", "PATCH"),
    default: "`POST`",
    meaning: "The method of the request.",
  },
  { name: "params", value: templates, meaning: "Query parameters." },
  { name: "body", value: template, meaning: "The body: JSON, or a text as it is." },
  {
    name: "stream_format",
    value: oneOf("text", "json"),
    default: "`text`",
    meaning: "What one event of a streamed answer holds.",
  },
  {
    name: "timeout",
    value: durationValue,
    default: "none",
    meaning: "The longest time from the request to the end of its answer.",
  },
];
const headers: Key = {
  name: "headers",
  value: headerTemplates,
  meaning: "Headers of the request. They are hidden wherever they would be shown.",
};
const httpOutput = output(
  "What the action gives, of `${response}`; of a stream `${response[]}` for each event. Default: the answer's body.",
);
const httpTarget: JsonSchema = { anyOf: [{ required: ["endpoint"] }, { required: ["path"] }] };

const workflowActionKeys: readonly Key[] = [
  { name: "workflow", value: text, default: "the default one", meaning: "The id of the workflow to run." },
  { name: "input", value: template, default: "the job's input", meaning: "The workflow's input." },
  output("What the action gives, of `${output}`. Default: the workflow's output."),
];

const actions = (name: string, title: string): readonly Key[] => [
  {
    name: "action",
    plural: "actions",
    value: part(name, title),
    meaning: "What the component does. Of one action the keys may stand in the component itself.",
  },
];

const jobReference = (name: string, meaning: string): Key => ({ name, value: text, meaning });
const dependency = either("list of ids; a list within it means one of them", {
  text: "",
  schema: {
    type: "array",
    items: { anyOf: [{ type: "string" }, { type: "array", items: { type: "string" } }] },
  },
});

const jobBase: readonly Key[] = [
  id,
  { name: "name", value: freeText, meaning: "A name for people." },
  {
    name: "depends_on",
    value: dependency,
    default: "none: it starts at once",
    meaning: "Jobs that must have ended before. `[a, [b, c]]` waits for a, and for b or c.",
  },
  {
    name: "max_run_count",
    value: integer(1),
    default: "`25`",
    meaning: "How often the job may run where routes lead back to it.",
  },
  {
    name: "retry",
    value: either(
      "integer >= 1 (attempts in all), or a [mapping](#retry)",
      integer(1),
      part("retry", "mapping"),
    ),
    default: "one attempt",
    meaning: "How often the job is tried when it fails.",
  },
  {
    name: "on_error",
    value: either("`ignore`, or a [mapping](#on-error)", oneOf("ignore"), part("on-error", "mapping")),
    default: "the workflow fails",
    meaning: "What takes the place of a job that has failed.",
  },
];
const jobRefused = ["interrupt", "hook"];

const callKeys: readonly Key[] = [
  {
    name: "component",
    value: either("an id, or a [component](#component)", text, part("component", "component")),
    default: "the only one, or the one with `default: true`",
    meaning: "The component that the job calls.",
  },
  {
    name: "action",
    value: text,
    default: "the only one, or the one with `default: true`",
    meaning: "The id of one of its actions.",
  },
];
const componentJobKeys: readonly Key[] = [
  ...callKeys,
  {
    name: "input",
    value: template,
    default: "the workflow's input",
    meaning: "What the component is given: its `${input}`.",
  },
  {
    name: "repeat_count",
    value: countTemplate,
    default: "one call",
    meaning: "Calls the component so often; `${index}` counts from 0, and the output is a list.",
  },
  output("What the job gives, of `${output}`, what the component gave. Default: that as it is."),
];
const delayKeys: readonly Key[] = [
  {
    name: "mode",
    value: oneOf("time-interval"),
    default: "`time-interval`",
    meaning: "What the job waits for.",
  },
  { name: "duration", value: durationTemplate, required: true, meaning: "How long it waits." },
  output("What the job gives. Default: nothing."),
];
const compared: Key = {
  name: "input",
  value: template,
  default: "the workflow's input",
  meaning: "What is compared.",
};
const conditionKeys: readonly Key[] = [
  {
    name: "operator",
    value: oneOf(...operators),
    required: true,
    meaning: "How `input` is compared with `value`. `match` is a regular expression of RE2.",
  },
  { name: "value", value: template, required: true, meaning: "What it is compared with." },
  jobReference("if_true", "The job that comes next when the comparison holds."),
  jobReference("if_false", "The job that comes next when it does not."),
];
const conditionRules: JsonSchema = { anyOf: [{ required: ["if_true"] }, { required: ["if_false"] }] };
const otherwise = jobReference("otherwise", "The job that comes next when nothing else does.");
const ifKeys: readonly Key[] = [
  compared,
  {
    name: "conditions",
    value: either("list of [conditions](#condition)", listOf({ ...part("condition", ""), text: "" }, "")),
    meaning: "Comparisons, in this order. Of one, the keys may stand in the job itself.",
  },
  ...conditionKeys.map((key) => ({ ...key, required: false })),
  otherwise,
];
const switchKeys: readonly Key[] = [
  compared,
  {
    name: "cases",
    value: either("list of [cases](#case)", listOf({ ...part("case", ""), text: "" }, "")),
    required: true,
    meaning: "The values and where they lead.",
  },
  otherwise,
];
const forEachKeys: readonly Key[] = [
  { name: "input", value: template, required: true, meaning: "The list to go through." },
  {
    name: "batch_size",
    value: countTemplate,
    default: "`1`",
    meaning: "How many items are worked on at once.",
  },
  { name: "do", value: part("do", "what is done"), required: true, meaning: "What is done with each item." },
  {
    name: "streaming",
    value: { text: "`false`", schema: { const: false } },
    default: "`false`",
    meaning: "A list has no stream; `true` is refused.",
  },
  output("What the job gives, of `${output}`, the list of what the items gave. Default: that list."),
];
const jobType = (...names: readonly string[]): Key => ({
  name: "type",
  value: kind(...names),
  ...(names.includes("component") ? { default: "`component`" } : { required: true }),
  meaning: "What kind of job it is.",
});

/** Keys by name, each once: of several with one name the first. */
function union(...lists: readonly (readonly Key[])[]): readonly Key[] {
  const found = new Map<string, Key>();
  for (const key of lists.flat()) {
    if (!found.has(key.name)) {
      found.set(key.name, { ...key, required: false });
    }
  }
  return [...found.values()];
}

/** A condition of a JSON Schema: where the key has one of the values, the part applies too. */
const when = (key: string, values: readonly string[], name: string): JsonSchema => ({
  if: { properties: { [key]: { enum: values } }, required: [key] },
  then: { $ref: `#/definitions/${name}` },
});
const needsAction = (...inline: readonly string[]): JsonSchema => ({
  anyOf: ["action", "actions", ...inline].map((name) => ({ required: [name] })),
});

const actionId: readonly Key[] = [id, isDefault];
const anyOfTasks = (name: "type" | "task", ...values: readonly string[]): Key => ({
  name,
  value: kind(...values),
  required: true,
  meaning: name === "type" ? "What the component is." : "What the model does.",
});

/** The parts of the language, in the order of the reference. */
export const LANGUAGE: readonly Part[] = [
  {
    name: "file",
    title: "The file",
    about:
      "A compose file is a mapping of these keys. Several files (`-f a.yml -f b.yml`) are merged from left to right: mappings key by key, everything else as a whole.",
    keys: [
      {
        name: "controller",
        value: part("controller", "controller"),
        meaning: "How the workflows are served.",
      },
      {
        name: "component",
        plural: "components",
        value: part("component", "component"),
        meaning: "What workflows call: models, outside APIs, other workflows.",
      },
      {
        name: "workflow",
        plural: "workflows",
        value: part("workflow", "workflow"),
        default: "one that calls the component",
        meaning: "What can be run.",
      },
    ],
    refused: [
      "listener",
      "listeners",
      "gateway",
      "gateways",
      "logger",
      "loggers",
      "system",
      "systems",
      "tracer",
      "tracers",
    ],
    rules: {
      anyOf: ["component", "components", "workflow", "workflows"].map((name) => ({ required: [name] })),
    },
  },
  {
    name: "controller",
    title: "controller",
    about: "How a server is set up. The keys of its [adapter](#adapter) may stand here too.",
    keys: [
      {
        name: "name",
        value: freeText,
        meaning: "A name for people: `ps` and the API's description show it.",
      },
      {
        name: "adapter",
        plural: "adapters",
        value: part("adapter", "adapter"),
        meaning: "How the workflows are served.",
      },
      {
        name: "webui",
        value: part("webui", "webui"),
        default: "`127.0.0.1`, port `8081`",
        meaning: "The page to work on.",
      },
      {
        name: "max_concurrent_count",
        value: integer(0),
        default: "`16`",
        meaning: "How many runs go on at once; 0 is no bound.",
      },
      {
        name: "max_queue_count",
        value: integer(0),
        default: "`1024`",
        meaning: "How many runs may wait; beyond it the answer is 429.",
      },
      {
        name: "max_kept_size",
        value: size,
        default: "`128MB`",
        meaning:
          "What a server keeps for its callers: bodies, inputs of runs that wait, outputs of those that have ended. Beyond it the answer is 429.",
      },
      {
        name: "memory_budget",
        value: size,
        default: "what is free",
        meaning:
          "What the models of the file may take together: weights, KV caches when they are full, and work. Models that nobody uses make room for one that is called; those in use are waited for.",
      },
      {
        name: "shutdown_timeout",
        value: durationValue,
        default: "`30s`",
        meaning: "How long runs have to end when the server stops.",
      },
      {
        name: "while_loading",
        value: oneOf("wait", "refuse"),
        default: "`wait`",
        meaning: "What happens to runs that come before the models are loaded.",
      },
      {
        name: "limits",
        value: part("limits", "limits"),
        meaning: "Ceilings of what the input of one run may ask for.",
      },
      runtime,
    ],
    withoutEffect: ["threaded", "shutdown_pending_period"],
    refused: ["queue", "websocket"],
  },
  {
    name: "adapter",
    title: "adapter",
    about: "The HTTP API. All of its keys may stand in `controller` itself.",
    keys: adapterKeys,
    refused: ["websocket"],
  },
  {
    name: "webui",
    title: "webui",
    about: "The page of a server. `up --no-ui` does without it.",
    keys: [
      {
        name: "driver",
        value: oneOf("gradio"),
        default: "`gradio`",
        meaning: "Accepted as the Python model-compose has it; the page is this program's own.",
      },
      { name: "host", value: text, default: "`127.0.0.1`", meaning: "The address to listen on." },
      { name: "port", value: integer(1, 65_535), default: "`8081`", meaning: "The port of the page." },
    ],
    refused: ["static_dir", "server_dir", "command"],
  },
  {
    name: "limits",
    title: "limits",
    about: "Ceilings of what the input of one run may ask for; more is refused with 422.",
    keys: [
      {
        name: "repeat_count",
        value: integer(1),
        default: shown(defaultLimits.repeat_count),
        meaning: "Calls of a job.",
      },
      {
        name: "for_each_items",
        value: integer(1),
        default: shown(defaultLimits.for_each_items),
        meaning: "Items of a list that a job goes through.",
      },
      {
        name: "num_beams",
        value: integer(1),
        default: shown(defaultLimits.num_beams),
        meaning: "Beams of a search.",
      },
      {
        name: "num_return_sequences",
        value: integer(1),
        default: shown(defaultLimits.num_return_sequences),
        meaning: "Texts for one prompt.",
      },
      {
        name: "prompts",
        value: integer(1),
        default: shown(defaultLimits.prompts),
        meaning: "Prompts of one call.",
      },
    ],
  },
  {
    name: "component",
    title: "component",
    about:
      "What a workflow calls. Its `type` says what it is, and which keys it has: a [model](#model-component), an [outside API](#http-client) or [another workflow](#workflow-component).",
    keys: [anyOfTasks("type", "model", "http-client", "workflow")],
    rules: {
      additionalProperties: true,
      allOf: [
        when("type", ["model"], "model-component"),
        when("type", ["http-client"], "http-client"),
        when("type", ["workflow"], "workflow-component"),
      ],
    },
  },
  {
    name: "model-component",
    title: "Component of type model",
    about:
      "Holds one model for one task. Beside these keys it has one or several actions: [text-generation](#text-generation), [text-to-text](#text-to-text) or [chat-completion](#chat-completion).",
    keys: [
      anyOfTasks("type", "model"),
      anyOfTasks("task", "text-generation", "text-to-text", "chat-completion"),
      ...modelCommon,
      {
        name: "architecture",
        value: oneOf("auto", "causal", "seq2seq", "bart"),
        default: "`auto`",
        meaning:
          "What the model must be: a decoder (`causal`), an encoder–decoder (`seq2seq`), or with text-to-text the family `bart`. One that is another is refused.",
      },
      ...actions("text-generation", "action"),
    ],
    withoutEffect: modelWithoutEffect,
    refused: modelRefused,
    rules: {
      additionalProperties: true,
      allOf: ["text-generation", "text-to-text", "chat-completion"].map((task) =>
        when("task", [task], `${task}-component`),
      ),
    },
  },
  {
    name: "model",
    title: "model",
    about: "Where a model comes from, where more than its name is to be said.",
    keys: [
      {
        name: "provider",
        value: oneOf("huggingface", "local"),
        default: "by which of the next two keys is there",
        meaning: "The hub, or a folder.",
      },
      {
        name: "repository",
        aliases: ["path"],
        value: name,
        required: true,
        meaning: "A repository on the Hugging Face hub; or with `path` a folder, relative to the file.",
      },
      { name: "revision", value: name, default: "`main`", meaning: "A branch, a tag or a commit." },
      {
        name: "token",
        value: text,
        default: "`HF_TOKEN`, or the one of `hf auth login`",
        meaning: "For private and gated models: `${env.HF_TOKEN}`.",
      },
      {
        name: "cache_dir",
        value: name,
        default: "the Hugging Face cache",
        meaning: "Where fetched models are kept, relative to the file.",
      },
      {
        name: "local_files_only",
        value: flag,
        default: "`false`",
        meaning: "Whether the network is left alone.",
      },
      {
        name: "format",
        value: oneOf("safetensors", "pytorch"),
        default: "what is there",
        meaning: "Accepted; the files tell their format.",
      },
    ],
    refused: ["filename", "allow_patterns", "url", "bundled", "name"],
    rules: { anyOf: [{ required: ["repository"] }, { required: ["path"] }] },
  },
  {
    name: "quantization",
    title: "quantization",
    about: "The form of the Python model-compose.",
    keys: [
      {
        name: "type",
        value: oneOf(
          "none",
          "int8",
          "int4",
          "auto",
          "float32",
          "float16",
          "bfloat16",
          "fp32",
          "fp16",
          "bf16",
        ),
        meaning: "As the text in place of the mapping.",
      },
    ],
    withoutEffect: ["compute_dtype", "double_quant"],
  },
  {
    name: "on-demand",
    title: "on_demand",
    about: "When a model goes that nobody uses.",
    keys: [
      {
        name: "idle_timeout",
        value: durationValue,
        default: "`300s`",
        meaning: "How long nobody has used it.",
      },
      {
        name: "priority",
        value: integer(-1_000_000, 1_000_000),
        default: "`0`",
        meaning: "Where memory is needed for another model, the lowest goes first.",
      },
    ],
  },
  {
    name: "text-generation",
    title: "Action of task text-generation",
    about: "Goes on from a prompt. An encoder–decoder answers it.",
    keys: [...actionId, prompt("prompt", "text"), params("parameters"), resultOutput],
    rules: { anyOf: [{ required: ["prompt"] }, { required: ["text"] }] },
  },
  {
    name: "text-to-text",
    title: "Action of task text-to-text",
    about: "The answer of an encoder–decoder. It has no prompt in it.",
    keys: [...actionId, prompt("text", "prompt"), params("answer-parameters"), resultOutput],
    rules: { anyOf: [{ required: ["prompt"] }, { required: ["text"] }] },
  },
  {
    name: "chat-completion",
    title: "Action of task chat-completion",
    about: "The answer to a conversation, through the model's own chat template.",
    keys: [...actionId, ...chatKeys, params("answer-parameters"), chatOutput],
  },
  {
    name: "parameters",
    title: "Parameters of generation",
    about:
      "They stand in `params`, or in the action itself. Each may be a value or a template such as `${input.temperature as number | 0.7}`; values are checked when the file is loaded, templates when they are rendered. Formulas are those of transformers. Actions whose answer has no prompt in it (text-to-text, chat-completion) have no `return_full_text`.",
    keys: allParameters,
  },
  { name: "answer-parameters", title: "", about: "", keys: answerParameters, hidden: true },
  {
    name: "http-client",
    title: "Component of type http-client",
    about: "An outside API. The keys of one [action](#http-action) may stand here.",
    keys: [
      anyOfTasks("type", "http-client"),
      id,
      isDefault,
      {
        name: "base_url",
        value: textTemplate,
        meaning: "The URL that the paths of actions are appended to.",
      },
      headers,
      {
        name: "allow_private_redirects",
        value: flag,
        default: "`false`",
        meaning: "Whether a redirect may lead from a public host to this machine or a private network.",
      },
      maxConcurrentCount,
      runtime,
      ...actions("http-action", "action"),
      ...httpActionKeys,
      httpOutput,
    ],
    refused: ["rate_limit", "completion", "stream_fragmented"],
    rules: needsAction("endpoint", "path"),
  },
  {
    name: "http-action",
    title: "Action of an http-client",
    about: "One request. It has `endpoint`, or `path` behind the component's `base_url`.",
    keys: [...actionId, ...httpActionKeys, headers, httpOutput],
    refused: ["completion", "stream_fragmented"],
    rules: httpTarget,
  },
  {
    name: "workflow-component",
    title: "Component of type workflow",
    about: "Calls another workflow of the file. The keys of one action may stand here.",
    keys: [
      anyOfTasks("type", "workflow"),
      id,
      isDefault,
      maxConcurrentCount,
      runtime,
      ...actions("workflow-action", "action"),
      ...workflowActionKeys,
    ],
  },
  {
    name: "workflow-action",
    title: "Action of a workflow",
    about: "One call of a workflow.",
    keys: [...actionId, ...workflowActionKeys],
  },
  {
    name: "workflow",
    title: "workflow",
    about:
      'What can be run: some jobs. The keys of one [job](#component-job) may stand here. A workflow without any calls the component with its input, and gives what a model wrote as `{"generated": …}`.',
    keys: [
      id,
      { name: "name", value: freeText, meaning: "A name for people: the tab of the Web UI." },
      { name: "title", value: freeText, meaning: "The heading in the Web UI." },
      { name: "description", value: freeText, meaning: "What it does, for people." },
      isDefault,
      {
        name: "private",
        value: flag,
        default: "`false`",
        meaning: "Whether only other workflows may call it.",
      },
      {
        name: "job",
        plural: "jobs",
        value: part("job", "job"),
        meaning: "What is done.",
      },
      output(
        "What the workflow gives, of `${jobs.ID.output}` and `${input}`. Default: what its last jobs gave.",
      ),
      ...union(
        jobBase,
        [jobType("component", "action", "delay", "if", "switch", "for-each")],
        componentJobKeys,
        delayKeys,
        ifKeys,
        switchKeys,
        forEachKeys,
      ).filter(({ name }) => !["id", "name", "output"].includes(name)),
    ],
    refused: jobRefused,
  },
  {
    name: "job",
    title: "job",
    about:
      "One step of a workflow. Its `type` says what it does: [component](#component-job), [delay](#delay-job), [if](#if-job), [switch](#switch-job), [for-each](#for-each-job). All have:",
    keys: [jobType("component", "action", "delay", "if", "switch", "for-each"), ...jobBase],
    refused: jobRefused,
    rules: {
      additionalProperties: true,
      allOf: [
        {
          if: {
            anyOf: [
              { not: { required: ["type"] } },
              { properties: { type: { enum: ["component", "action"] } } },
            ],
          },
          then: { $ref: "#/definitions/component-job" },
        },
        ...["delay", "if", "switch", "for-each"].map((type) => when("type", [type], `${type}-job`)),
      ],
    },
  },
  {
    name: "component-job",
    title: "Job of type component",
    about: "Calls a component. `action` is another name of the type.",
    keys: [jobType("component", "action"), ...jobBase, ...componentJobKeys],
    refused: jobRefused,
  },
  {
    name: "delay-job",
    title: "Job of type delay",
    about: "Waits.",
    keys: [jobType("delay"), ...jobBase, ...delayKeys],
    refused: [...jobRefused, "time", "timezone"],
  },
  {
    name: "if-job",
    title: "Job of type if",
    about: "Leads to one job or another, as conditions hold.",
    keys: [jobType("if"), ...jobBase, ...ifKeys],
    refused: jobRefused,
    rules: { anyOf: [{ required: ["conditions"] }, { required: ["operator", "value"] }] },
  },
  {
    name: "condition",
    title: "condition",
    about: "One comparison of a job of type if. It leads somewhere: `if_true`, `if_false` or both.",
    keys: [{ ...compared, default: "the job's `input`" }, ...conditionKeys],
    rules: conditionRules,
  },
  {
    name: "switch-job",
    title: "Job of type switch",
    about: "Leads to the job of the first case whose value equals the input.",
    keys: [jobType("switch"), ...jobBase, ...switchKeys],
    refused: jobRefused,
  },
  {
    name: "case",
    title: "case",
    about: "One case of a job of type switch.",
    keys: [
      { name: "value", value: template, required: true, meaning: "What the input is compared with." },
      { ...jobReference("then", "The job that comes next."), required: true },
    ],
  },
  {
    name: "for-each-job",
    title: "Job of type for-each",
    about: "Calls a component for every item of a list; what they gave is in the order of the items.",
    keys: [jobType("for-each"), ...jobBase, ...forEachKeys],
    refused: jobRefused,
  },
  {
    name: "do",
    title: "do",
    about: "What a job of type for-each does with each item.",
    keys: [
      jobType("component", "action"),
      ...callKeys,
      {
        name: "input",
        value: template,
        default: "the item",
        meaning: "What the component is given, of `${item}` and `${index}`.",
      },
      output(
        "What the item gives, of `${output}`, `${item}` and `${index}`. Default: what the component gave.",
      ),
    ],
    refused: [...jobRefused, "retry", "on_error", "repeat_count", "depends_on"],
  },
  {
    name: "retry",
    title: "retry",
    about: "How often a job is tried, and with which pauses.",
    keys: [
      {
        name: "max_attempt_count",
        value: integer(1),
        default: "`1`",
        meaning: "Attempts in all, the first one among them.",
      },
      {
        name: "delay",
        value: durationValue,
        default: "`0`",
        meaning: "The pause before the second attempt.",
      },
      {
        name: "backoff",
        value: oneOf("fixed", "exponential"),
        default: "`fixed`",
        meaning: "Whether pauses stay, or double each time.",
      },
      { name: "max_delay", value: durationValue, default: "none", meaning: "The longest pause." },
    ],
  },
  {
    name: "on-error",
    title: "on_error",
    about: "What takes the place of a job that has failed. With neither key its output is null.",
    keys: [
      jobReference("to", "The job that comes next instead."),
      output("What the job gives instead, of `${error.message}`."),
    ],
  },
];

const partOf = (name: string): Part => {
  const found = LANGUAGE.find((one) => one.name === name);
  if (found === undefined) {
    throw new Error(`The language has no part "${name}".`);
  }
  return found;
};

/** A component of a task with the keys of its only action, where they stand in the component itself; for the schema alone. */
function taskComponent(task: string, subject: readonly string[], parameters: readonly Key[]): Part {
  const { keys, withoutEffect, refused } = partOf("model-component");
  const action = partOf(task).keys.filter(({ name }) => !["id", "default"].includes(name));
  const own = keys.filter(({ name }) => !["action", "architecture"].includes(name));
  const architectures =
    {
      "text-generation": ["causal", "seq2seq"],
      "text-to-text": ["seq2seq", "bart"],
      "chat-completion": ["causal", "seq2seq"],
    }[task] ?? [];
  const architecture = { name: "architecture", value: oneOf("auto", ...architectures), meaning: "" };
  return {
    name: `${task}-component`,
    title: "",
    about: "",
    keys: [
      ...own,
      architecture,
      ...actions(task, "action"),
      ...action.map((key) => ({ ...key, required: false })),
      ...parameters,
    ],
    withoutEffect,
    refused,
    rules: needsAction(...subject),
    hidden: true,
  };
}

/** An action with the parameters that may stand in it; for the schema alone. */
const withParameters = (task: string, parameters: readonly Key[]): Part => {
  const whole = partOf(task);
  return { ...whole, keys: [...whole.keys, ...parameters] };
};

/** The parts as the program reads them, with what the reference tells once and the program takes in several places. */
export const MAPPINGS: readonly Part[] = [
  ...LANGUAGE.map((one) => {
    switch (one.name) {
      case "text-generation":
        return withParameters(one.name, allParameters);
      case "text-to-text":
      case "chat-completion":
        return withParameters(one.name, answerParameters);
      case "model-component":
        // Which actions a component has, its task says.
        return { ...one, keys: one.keys.filter(({ name: key }) => key !== "action") };
      case "controller":
        return { ...one, keys: [...one.keys, ...adapterKeys] };
      default:
        return one;
    }
  }),
  taskComponent("text-generation", ["prompt", "text"], allParameters),
  taskComponent("text-to-text", ["prompt", "text"], answerParameters),
  taskComponent("chat-completion", ["messages"], answerParameters),
];

/** All names that a mapping takes. */
export function namesOf({ keys, withoutEffect = [], refused = [] }: Part): string[] {
  return [...keys.flatMap(spellings), ...withoutEffect, ...refused];
}

/** All spellings of a key, of which one may be written. */
export function spellings({ name, aliases = [], plural }: Key): string[] {
  return [name, ...aliases, ...(plural === undefined ? [] : [plural])];
}
