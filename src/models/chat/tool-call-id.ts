import { randomUUID } from "node:crypto";

/**
 * An id for a call of a tool: nine letters and digits. Mistral's chat templates refuse others when the call comes back in a
 * conversation; those of other models do not look.
 */
export function toolCallId(): string {
  return randomUUID().replaceAll("-", "").slice(0, 9);
}
