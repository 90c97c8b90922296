/** The page's types of the HTTP API are the server's: a difference is an error of `npm run types`. */
import { expectTypeOf } from "vitest";
import type { TypeName } from "../../compose/template/ast.ts";
import type {
  HealthBody,
  ProgressBody,
  SchemaBody,
  StatusBody,
  TaskBody,
  VariableBody,
} from "../../server/schemas.ts";
import type { TaskEventData } from "../../server/task-stream.ts";
import type { VariableType, WireEvents, WireHealth, WireProgress, WireStatus, WireTask } from "./wire.ts";
import type { WireVariable, WireWorkflow } from "./wire.ts";

/** The page changes nothing of what it has read; zod's types leave it open. */
type Read<T> = T extends readonly (infer Item)[]
  ? readonly Read<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Read<T[Key]> }
    : T;

expectTypeOf<WireTask>().toEqualTypeOf<Read<TaskBody>>();
expectTypeOf<WireProgress>().toEqualTypeOf<Read<ProgressBody>>();
expectTypeOf<Read<WireEvents>>().toEqualTypeOf<Read<TaskEventData>>();

// The page knows one more state: no server.
expectTypeOf<Exclude<WireHealth["status"], "unreachable">>().toEqualTypeOf<HealthBody["status"]>();
expectTypeOf<Omit<WireHealth, "status">>().toEqualTypeOf<Read<Omit<HealthBody, "status">>>();

// The server's schema takes the type of a variable for any text; what it writes is a name of the template language.
expectTypeOf<VariableType>().toEqualTypeOf<TypeName>();
expectTypeOf<Omit<WireVariable, "type">>().toEqualTypeOf<Read<Omit<VariableBody, "type">>>();
expectTypeOf<Omit<WireWorkflow, "input" | "output">>().toEqualTypeOf<
  Read<Omit<SchemaBody, "input" | "output">>
>();
expectTypeOf<Omit<WireStatus, "health">>().toEqualTypeOf<Read<Omit<StatusBody, "health">>>();
expectTypeOf<WireWorkflow["input"]>().toEqualTypeOf<readonly WireVariable[]>();
expectTypeOf<WireWorkflow["output"]>().toEqualTypeOf<readonly WireVariable[]>();
expectTypeOf<SchemaBody["input"]>().toEqualTypeOf<VariableBody[]>();
expectTypeOf<SchemaBody["output"]>().toEqualTypeOf<VariableBody[]>();
