/** Says which model was meant by a name that nobody has, among the models that are known to run here. */
import { nearestName } from "../../base/nearest-name.ts";
import { FAMILIES } from "./table.ts";

/** Names that are written in documentation although no such model exists, and the model that is meant. */
const MISTAKEN: Readonly<Record<string, string>> = {
  "HuggingFaceTB/SmolLM3-1.7B": "HuggingFaceTB/SmolLM2-1.7B",
};

/** The id to fetch for a model: of one that does not exist, the one that is meant. */
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
  const known = FAMILIES.flatMap(({ published }) => published);
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
