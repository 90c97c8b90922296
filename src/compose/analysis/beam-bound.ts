import type { ModelComponent, ParameterNodes } from "../definition/definition.ts";
import { checkParameter, composeDefaults } from "../definition/parameters.ts";
import { literalValue, solePlaceholder } from "../source/source-tree.ts";
import { placeholdersOf } from "../template/ast.ts";
import { defaultValue } from "../template/evaluate.ts";

/**
 * The largest number of beams that calls of a component may ask for; the model is loaded with a KV cache for each. It
 * is the component's own bound, else the most that its actions name, also as the default of a template; undefined when
 * a template has no such default and no action names more than one: then the model's generation_config decides.
 */
export function beamBound({ maxBeams, actions }: ModelComponent): number | undefined {
  if (maxBeams !== undefined) {
    return maxBeams;
  }
  const counts = actions.map(({ parameters }) => beamsOf(parameters));
  const known = counts.filter((count) => count !== undefined);
  const most = Math.max(1, ...known);
  return most === 1 && known.length < counts.length ? undefined : most;
}

function beamsOf(parameters: ParameterNodes): number | undefined {
  const node = parameters.get("num_beams");
  if (node === undefined) {
    return composeDefaults.num_beams;
  }
  const checked = checkParameter("num_beams", literalValue(node)?.value ?? defaultOf(node));
  return "value" in checked ? checked.value : undefined;
}

/** The default of a template that is one placeholder. */
function defaultOf(node: Parameters<typeof solePlaceholder>[0]): unknown {
  const placeholder = solePlaceholder(node);
  const fallback = placeholder?.default;
  if (fallback === undefined || !placeholdersOf(fallback.template).next().done) {
    return undefined;
  }
  return defaultValue(fallback, placeholder?.type, { sources: new Map() });
}
