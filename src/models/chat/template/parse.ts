/** Turns the text of a template into its syntax tree. This is the one place that knows the library. */
import * as library from "@huggingface/jinja";
import type { Program } from "./syntax.ts";

// Both functions are public; their types cannot be resolved (see syntax.ts).
const { parse, tokenize } = library as unknown as {
  tokenize: (source: string, options: { trim_blocks: boolean; lstrip_blocks: boolean }) => object[];
  parse: (tokens: object[]) => Program;
};

/**
 * Parses a template with trim_blocks and lstrip_blocks, as transformers configures Jinja.
 *
 * @throws Error of the parser for what is not a template
 */
export function parseTemplate(source: string): Program {
  // Jinja reads every kind of line end as "\n".
  const lines = source.replace(/\r\n?/g, "\n");
  return parse(tokenize(lines, { trim_blocks: true, lstrip_blocks: true }));
}
