import type { TextGenerationAction } from "../../definition/definition.ts";
import { evaluateNode } from "../../source/node-templates.ts";
import type { SourceNode } from "../../source/source-tree.ts";
import { show, toText } from "../../template/convert.ts";
import { WorkflowInputError } from "../input-error.ts";
import type { CallSite } from "../site.ts";
import { missingTextError } from "./missing-input.ts";
import type { RenderedInputs } from "./rendered-inputs.ts";

const remedy = "A prompt is a text of at least one character.";

/** Renders the prompts of an action. @throws WorkflowInputError */
export function renderPrompts({ prompt: node }: TextGenerationAction, site: CallSite): RenderedInputs {
  const value = evaluateNode(node, site.scope);
  if (!Array.isArray(value)) {
    if (value === null || value === "") {
      throw missingTextError({ name: "the prompt", node, remedy }, value, site);
    }
    return { inputs: [promptText(value, "The prompt")], isList: false };
  }
  if (value.length === 0) {
    throw new WorkflowInputError("The list of prompts is empty.", undefined, "Give at least one prompt.");
  }
  const itemNode = itemNodes(node, value.length);
  const inputs = value.map((item: unknown, position) => {
    if (item === null || item === "") {
      const own = itemNode?.[position];
      const place =
        own === undefined ? { node, within: [{ kind: "index", index: position } as const] } : { node: own };
      throw missingTextError({ name: `prompt ${position}`, ...place, remedy }, item, site);
    }
    return promptText(item, `Prompt ${position}`);
  });
  return { inputs, isList: true };
}

/** The templates of a list of prompts, when each stands for one prompt. */
function itemNodes(node: SourceNode, count: number): readonly SourceNode[] | undefined {
  return node.kind === "list" && node.items.length === count ? node.items : undefined;
}

function promptText(value: unknown, what: string): string {
  if (["string", "number", "boolean"].includes(typeof value)) {
    return toText(value);
  }
  throw new WorkflowInputError(
    `${what} must be a text, found ${show(value)}.`,
    undefined,
    "Write `as text` in the placeholder to make it text.",
  );
}
