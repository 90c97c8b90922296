/** Whether an answer calls tools, and which. */
import { isJsonObject } from "../../base/json.ts";

/** Whether an answer calls tools: as the model likes, not at all, at least one, or the one of this name; or only some of them. */
export type ToolChoice =
  | "auto"
  | "none"
  | "required"
  | {
      /** The name of a tool. */
      readonly name: string;
    }
  | AllowedTools;

/**
 * Tools of which alone calls may be. The model is shown all of the tools, so that its prompt is the same whichever may be called, and
 * need not be read again.
 */
export interface AllowedTools {
  /** Names of tools, one at least. */
  readonly allowed: readonly string[];
  /** Whether there is a call as the model likes, or at least one must be. Default "auto". */
  readonly mode?: "auto" | "required";
}

/** The values of a choice, for messages. */
export const TOOL_CHOICE_EXPECTED =
  '"auto", "none", "required", {name} or {allowed: [names], mode}, whose mode is "auto" or "required"';

/** Whether a value is a choice; it has no other keys than it may have. */
export function isToolChoice(value: unknown): value is ToolChoice {
  if (!isJsonObject(value)) {
    return value === "auto" || value === "none" || value === "required";
  }
  const { name, allowed, mode, ...rest } = value;
  if (Object.keys(rest).length > 0) {
    return false;
  }
  if ("name" in value) {
    return typeof name === "string" && !("allowed" in value) && !("mode" in value);
  }
  return (
    Array.isArray(allowed) &&
    allowed.length > 0 &&
    allowed.every((one) => typeof one === "string") &&
    (mode === undefined || mode === "auto" || mode === "required")
  );
}
