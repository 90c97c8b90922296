import type { ModelComponent } from "../definition/definition.ts";
import { composeDefaults, type GenerationParameterName } from "../definition/parameters.ts";
import { literalValue } from "../source/source-tree.ts";

/**
 * Tokens of a prompt at most. A token of a byte-level vocabulary is at least one byte of UTF-8, so a prompt's bytes
 * bound its tokens.
 */
export function promptBound(prompt: string): number {
  const specialTokens = 16;
  return Buffer.byteLength(prompt, "utf8") + specialTokens;
}

/** Tokens, of prompt and text together, that no call of a component exceeds; undefined when the file does not tell. */
export function contextBound({ actions }: ModelComponent): number | undefined {
  const bounds = actions.map((action) => {
    const { parameters } = action;
    const literal = (name: GenerationParameterName): number => {
      const node = parameters.get(name);
      return Number((node && literalValue(node)?.value) ?? Infinity);
    };
    // What a chat template adds is not known here.
    const text = action.kind === "prompt" ? literalValue(action.prompt)?.value : undefined;
    const ofPrompt = typeof text === "string" ? promptBound(text) : Infinity;
    const ofOutput = parameters.has("max_output_length")
      ? literal("max_output_length")
      : composeDefaults.max_output_length;
    return Math.min(literal("max_input_length"), ofPrompt) + ofOutput;
  });
  const most = Math.max(...bounds);
  return Number.isFinite(most) ? most : undefined;
}
