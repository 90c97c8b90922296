/** Token rules as a request has them. */
import type { GenerateOptions } from "../../src/runtime/generation/types.ts";
import type { SequenceRules } from "../../src/runtime/sampling/token-rules.ts";
import { resolveGenerateOptions } from "../../src/runtime/generation/options.ts";

/** The rules that options and a generation_config.json come to in a sequence without end; undefined: none is on. */
export function sequenceRules(
  options: GenerateOptions,
  generationConfig: Readonly<Record<string, unknown>> = {},
  sourceIds: readonly number[] = [],
): SequenceRules | undefined {
  const { rules } = resolveGenerateOptions(options, generationConfig);
  return rules && { ...rules, sourceIds, maxLength: Infinity };
}
