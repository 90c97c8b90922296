/** The models that are known to run here, by family. What is said about a name that nobody has comes from this table. */
import { nearestName } from "../../base/nearest-name.ts";

/** `model_type` of config.json to repositories on the hub. */
export const SUPPORTED_MODELS: Readonly<Record<string, readonly string[]>> = {
  smollm3: ["HuggingFaceTB/SmolLM3-3B", "HuggingFaceTB/SmolLM3-3B-Base"],
  llama: [
    "HuggingFaceTB/SmolLM2-135M",
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    "HuggingFaceTB/SmolLM2-360M",
    "HuggingFaceTB/SmolLM2-360M-Instruct",
    "HuggingFaceTB/SmolLM2-1.7B",
    "HuggingFaceTB/SmolLM2-1.7B-Instruct",
  ],
  gpt2: [
    "openai-community/gpt2",
    "openai-community/gpt2-medium",
    "openai-community/gpt2-large",
    "openai-community/gpt2-xl",
    "microsoft/DialoGPT-small",
    "microsoft/DialoGPT-medium",
    "microsoft/DialoGPT-large",
  ],
  gpt_neo: ["EleutherAI/gpt-neo-125m", "EleutherAI/gpt-neo-1.3B", "EleutherAI/gpt-neo-2.7B"],
  codegen: [
    "Salesforce/codegen-350M-mono",
    "Salesforce/codegen-350M-multi",
    "Salesforce/codegen-350M-nl",
    "Salesforce/codegen-2B-mono",
  ],
  blenderbot: ["facebook/blenderbot-400M-distill"],
  "blenderbot-small": ["facebook/blenderbot_small-90M"],
  bart: ["facebook/bart-base", "facebook/bart-large-cnn"],
};

/** Names that are written in documentation although no such model exists, and the model that is meant. */
const MISTAKEN: Readonly<Record<string, string>> = {
  "HuggingFaceTB/SmolLM3-1.7B": "HuggingFaceTB/SmolLM2-1.7B",
};

/** The id to fetch: of a model that does not exist the one that is meant. */
export function meantModel(model: string): string {
  return MISTAKEN[model] ?? model;
}

/** A sentence about the model that was meant, when a supported one has nearly that name; else undefined. */
export function suggestion(model: string): string | undefined {
  const meant = MISTAKEN[model];
  if (meant !== undefined) {
    return `There is no "${model}": "${meant}" is what is meant.`;
  }
  const near = nearestSupported(model);
  return near === undefined ? undefined : `Did you mean "${near}"?`;
}

function nearestSupported(model: string): string | undefined {
  const known = Object.values(SUPPORTED_MODELS).flat();
  const byKey = (key: (id: string) => string): string | undefined => {
    const ids = new Map(known.map((id) => [key(id), id]));
    const wanted = key(model);
    const near = ids.has(wanted) ? wanted : nearestName(wanted, [...ids.keys()]);
    return near === undefined ? undefined : ids.get(near);
  };
  // The right name under another organization, or without one, is nearer than any spelling.
  const name = (id: string): string => (id.split("/").at(-1) ?? id).toLowerCase();
  const near = known.find((id) => name(id) === name(model)) ?? byKey((id) => id.toLowerCase()) ?? byKey(name);
  return near === model ? undefined : near;
}
