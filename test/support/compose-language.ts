/** The tables of the compose language beside what the program reads: a file for every mapping, and who takes it. */
import { Ajv } from "ajv";
import { MAPPINGS, spellings, type Part } from "../../scripts/docs/compose-language.ts";
import { composeSchema } from "../../scripts/docs/compose-schema.ts";
import { ComposeFileError } from "../../src/compose/source/problems.ts";
import { loadText } from "./compose.ts";

// Without the two last options compiling the schema takes longer than all files that it looks at.
const ajv = new Ajv({
  allowUnionTypes: true,
  strictRequired: false,
  strictTypes: false,
  inlineRefs: false,
  code: { optimize: false },
});
const validate = ajv.compile(composeSchema());

/** What the JSON Schema says against a file; empty where it takes it. */
export function schemaProblems(file: unknown): string {
  return validate(file) ? "" : ajv.errorsText(validate.errors);
}

type Mapping = Readonly<Record<string, unknown>>;

const model = { type: "model", task: "text-generation", model: "m" };
const component = { ...model, prompt: "x" };
const seq2seq = { ...model, task: "text-to-text" };
const chat = { ...model, task: "chat-completion" };
const http = { type: "http-client", base_url: "http://localhost" };
const two = { jobs: [{ id: "a" }, { id: "b" }] };

/** A file in which the mapping of a part has further keys, by the part's name. */
export const files: Readonly<Record<string, (keys: Mapping) => Mapping>> = {
  file: (keys) => ({ component, ...keys }),
  controller: (keys) => ({ component, controller: keys }),
  adapter: (keys) => ({ component, controller: { adapter: keys } }),
  webui: (keys) => ({ component, controller: { webui: keys } }),
  limits: (keys) => ({ component, controller: { limits: keys } }),
  model: (keys) => ({ component: { ...component, model: { repository: "a/b", ...keys } } }),
  quantization: (keys) => ({ component: { ...component, quantization: { type: "int8", ...keys } } }),
  "on-demand": (keys) => ({ component: { ...component, on_demand: keys } }),
  "text-generation": (keys) => ({ component: { ...model, action: { prompt: "x", ...keys } } }),
  "text-to-text": (keys) => ({ component: { ...seq2seq, action: { text: "x", ...keys } } }),
  "chat-completion": (keys) => ({ component: { ...chat, action: { messages: "x", ...keys } } }),
  parameters: (keys) => ({ component: { ...component, params: keys } }),
  "answer-parameters": (keys) => ({ component: { ...chat, messages: "x", params: keys } }),
  "text-generation-component": (keys) => ({ component: { ...component, ...keys } }),
  "text-to-text-component": (keys) => ({ component: { ...seq2seq, text: "x", ...keys } }),
  "chat-completion-component": (keys) => ({ component: { ...chat, messages: "x", ...keys } }),
  "http-client": (keys) => ({ component: { ...http, path: "/a", ...keys } }),
  "http-action": (keys) => ({ component: { ...http, action: { path: "/a", ...keys } } }),
  "workflow-component": (keys) => ({
    components: [
      { ...component, default: true },
      { id: "c", type: "workflow", workflow: "w", ...keys },
    ],
    workflow: { id: "w" },
  }),
  "workflow-action": (keys) => ({
    components: [
      { ...component, default: true },
      { id: "c", type: "workflow", action: { workflow: "w", ...keys } },
    ],
    workflow: { id: "w" },
  }),
  workflow: (keys) => ({ component, workflow: keys }),
  "component-job": (keys) => ({ component, workflow: { job: { id: "a", ...keys } } }),
  "delay-job": (keys) => ({ component, workflow: { job: { type: "delay", duration: 1, ...keys } } }),
  "if-job": (keys) => ({
    component,
    workflow: { jobs: [...two.jobs, { type: "if", operator: "eq", value: 1, if_true: "a", ...keys }] },
  }),
  condition: (keys) => ({
    component,
    workflow: {
      jobs: [...two.jobs, { type: "if", conditions: [{ operator: "eq", value: 1, if_true: "a", ...keys }] }],
    },
  }),
  "switch-job": (keys) => ({
    component,
    workflow: { jobs: [...two.jobs, { type: "switch", cases: [{ value: 1, then: "a" }], ...keys }] },
  }),
  case: (keys) => ({
    component,
    workflow: { jobs: [...two.jobs, { type: "switch", cases: [{ value: 1, then: "a", ...keys }] }] },
  }),
  "for-each-job": (keys) => ({
    component,
    workflow: { job: { type: "for-each", input: "${input.x}", do: {}, ...keys } },
  }),
  do: (keys) => ({ component, workflow: { job: { type: "for-each", input: "${input.x}", do: keys } } }),
  retry: (keys) => ({ component, workflow: { job: { retry: keys } } }),
  "on-error": (keys) => ({ component, workflow: { jobs: [{ id: "a", on_error: keys }, { id: "b" }] } }),
};

/** Parts that only say which of the others a mapping is. */
export const choices = ["component", "model-component", "job"];

/** Why the program refuses a file; empty where it takes it. */
export function refusals(file: unknown): readonly string[] {
  try {
    loadText(JSON.stringify(file), { env: { PORT: "8080" } });
    return [];
  } catch (error) {
    if (error instanceof ComposeFileError) {
      return error.problems.map(({ message, remedy }) => `${message} ${remedy ?? ""}`);
    }
    throw error;
  }
}

/** The parts that are mappings of a file. */
export const parts: readonly Part[] = MAPPINGS.filter(({ name }) => !choices.includes(name));

/**
 * Refusals that are of what the file means as a whole; and those of a workflow with the keys of a job of another type in it, which
 * the schema takes.
 */
const isOfMeaning =
  /which does not exist|unknown source|leads nowhere|two places|mean the same|same port|takes "|beside its|is not a regular|not a header|must be a URL|header "|a stream is of one|search knows its text|cannot be reached|a cycle|does not say which|runs itself|is for a repository|both "api_key"|no "path"|has a "path"|more than one|message|The revision|in workflow\.|^workflow has no/;

/**
 * Values that either the schema of a part's keys or the program takes, and not both.
 *
 * @param kinds values to try beside those at the ends of the schema's ranges
 * @param seen what was looked at already: what stands in several mappings is looked at in the first
 */
export function differences(part: Part, kinds: readonly unknown[], seen: Set<string>): string[] {
  const fileWith = files[part.name];
  const found: string[] = [];
  for (const key of part.keys) {
    const once = key.name + JSON.stringify(key.value.schema);
    if (seen.has(once)) {
      continue;
    }
    seen.add(once);
    for (const name of spellings(key)) {
      for (const value of new Set([...kinds, ...ends(key.value.schema)])) {
        const file = fileWith({ [name]: value });
        const [isAccepted, reasons] = [schemaProblems(file) === "", refusals(file)];
        // What a reference names, and which sources a template has, no schema knows.
        const isOfForm = reasons.every((reason) => !isOfMeaning.test(reason));
        if (isAccepted !== (reasons.length === 0) && (!isAccepted || isOfForm)) {
          const who = isAccepted
            ? "the schema takes it, the program not"
            : "the program takes it, the schema not";
          found.push(`${name}: ${JSON.stringify(value)}: ${who}; ${reasons.join("; ")}`);
        }
      }
    }
  }
  return found;
}

/** The values at the ends of a schema's ranges, and those that it names. */
function ends(schema: unknown): readonly unknown[] {
  const values: unknown[] = [];
  const collect = (node: unknown): void => {
    if (typeof node !== "object" || node === null) {
      return;
    }
    for (const [key, value] of Object.entries(node as Mapping)) {
      if (typeof value === "number" && /imum$/.test(key)) {
        values.push(value - 1, value, value + 1);
      } else if (key === "enum" || key === "const") {
        values.push(...(Array.isArray(value) ? (value as unknown[]) : [value]));
      }
      collect(value);
    }
  };
  collect(schema);
  return values;
}
