/** The JSON of the HTTP API as the page reads it: the server's own types. */
import type { TypeName } from "../../compose/template/ast.ts";
import type { HealthBody, ProgressBody, SchemaBody, TaskBody, VariableBody } from "../../server/schemas.ts";

export type WireVariable = Omit<VariableBody, "type"> & { readonly type: TypeName };
export type WireWorkflow = Omit<SchemaBody, "input"> & { readonly input: readonly WireVariable[] };
export type WireTask = TaskBody;
export type WireProgress = ProgressBody;
/** `unreachable`: nobody answers. */
export type WireHealth = Omit<HealthBody, "status"> & {
  readonly status: HealthBody["status"] | "unreachable";
};

export interface WireText {
  readonly generation: number;
  readonly text: string;
  /** 0 where nobody counts them. */
  readonly tokens: number;
  /** What is not the answer itself. */
  readonly kind?: "reasoning" | "tool-call";
}

/** An event of a task: the SSE event's name, with its data. */
export type WireEvent =
  | { readonly type: "state" | "result" | "error"; readonly data: WireTask }
  | { readonly type: "progress"; readonly data: WireProgress }
  | { readonly type: "text"; readonly data: WireText }
  | { readonly type: "warning"; readonly data: { readonly message: string } };
