/** The form of a workflow, from its schema: what each input looks like and what it holds at first. */
import type { VariableType, WireVariable } from "./wire.ts";

/** One input of the form. Its content is a text, which `inputFromForm` turns into the value of the variable. */
export interface Field {
  /** The name by which `inputFromForm` knows the field; "" for the one that is the whole input. */
  readonly key: string;
  readonly label: string;
  /** What the author of the file says about the input. */
  readonly description?: string;
  /** A note on how to write the input, where a person cannot see that. */
  readonly hint?: string;
  readonly required: boolean;
  /** The text before anybody types; "true" or "false" of a checkbox. */
  readonly initial: string;
  readonly control: Control;
}

/** The element in which a person gives an input. */
export type Control =
  | { readonly kind: "text"; readonly rows: number; readonly code: boolean }
  | {
      readonly kind: "number" | "range";
      readonly min?: number;
      readonly max?: number;
      /** Distance of the numbers that are allowed; `any` allows all. */
      readonly step: number | "any";
    }
  | { readonly kind: "checkbox" }
  /** A box whose text is `on` where it is checked, and empty where it is not. */
  | { readonly kind: "switch"; readonly on: string }
  | {
      readonly kind: "select";
      readonly options: readonly { readonly value: string; readonly label: string }[];
    };

/** The inputs of a form, one for each variable of a workflow. */
export function fieldsOf(variables: readonly WireVariable[]): Field[] {
  return variables.map(fieldOf);
}

function fieldOf(variable: WireVariable): Field {
  const { name, required = false, annotations = [] } = variable;
  const initial = initialText(variable);
  const control = controlOf(variable, initial ?? "");
  return {
    key: name ?? "",
    label: control.kind === "switch" ? "Token alternatives" : (name ?? "input"),
    description: annotations.find((annotation) => annotation.name === "description")?.text,
    hint: hintOf(variable, initial),
    required,
    initial: initial ?? "",
    control,
  };
}

const LONG_TEXT_ROWS = 6;
const LIST_ROWS = 4;
/** How many tokens are told in the place of each, where a person wants to see them. */
const ALTERNATIVES = "5";

function controlOf(variable: WireVariable, initial: string): Control {
  const { type, is_list: isList, required = false, options = [] } = variable;
  if (isList) {
    return { kind: "text", rows: LIST_ROWS, code: isJson(type) };
  }
  if (isSwitch(variable, initial)) {
    return { kind: "switch", on: ALTERNATIVES };
  }
  const { minimum: min, maximum: max } = variable;
  switch (type) {
    case "text":
    case "markdown":
      return { kind: "text", rows: LONG_TEXT_ROWS, code: false };
    case "json":
    case "list":
    case "object":
      return { kind: "text", rows: LIST_ROWS, code: true };
    case "string":
    case "base64":
    case "stream":
    case "any":
    case "none":
      // The box is one line high and grows with what is typed.
      return { kind: "text", rows: 1, code: false };
    case "integer":
      return { kind: "number", step: 1, min, max };
    case "number":
      return { kind: "number", step: "any", min, max };
    case "slider": {
      const [min, max, step] = (variable.subtype ?? "").split(",").map(Number);
      // A slider always stands somewhere; without a default it would choose a value nobody asked for.
      return { kind: initial === "" ? "number" : "range", min, max, step: step ?? "any" };
    }
    case "boolean": {
      if (initial !== "") {
        return { kind: "checkbox" };
      }
      const both = ["true", "false"].map((value) => ({ value, label: value }));
      return { kind: "select", options: [unset(required), ...both] };
    }
    case "select": {
      const choices = options.map((value) => ({ value, label: value }));
      return { kind: "select", options: initial === "" ? [unset(required), ...choices] : choices };
    }
  }
}

function unset(required: boolean): { value: string; label: string } {
  return { value: "", label: required ? "Choose…" : "(not set)" };
}

function isJson(type: VariableType): boolean {
  return type === "json" || type === "list" || type === "object";
}

/** The default as one would type it; undefined where there is none, or where it cannot be typed. */
function initialText({
  default: fallback,
  is_list: isList,
  type,
  options,
}: WireVariable): string | undefined {
  if (fallback === undefined || fallback === null) {
    return undefined;
  }
  if (isList) {
    if (!Array.isArray(fallback)) {
      return undefined;
    }
    const lines = fallback.map((item: unknown) => (isJson(type) ? JSON.stringify(item) : itemText(item)));
    return lines.every((line) => line.trim() !== "" && !/[\r\n]/.test(line)) ? lines.join("\n") : undefined;
  }
  if (isJson(type)) {
    return JSON.stringify(fallback, null, 2);
  }
  const text = itemText(fallback);
  return type === "select" && !options?.includes(text) ? undefined : text;
}

function itemText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Whether an input switches the alternatives of tokens on: it is empty, or as few as can be, where nobody touches it. */
function isSwitch({ parameter, type }: WireVariable, initial: string): boolean {
  return parameter === "logprobs" && type === "integer" && (initial === "" || initial === "0");
}

function hintOf(variable: WireVariable, initial: string | undefined): string | undefined {
  const { is_list: isList, type, default: fallback, expected, unset } = variable;
  const parts: string[] = [];
  if (!isList && isSwitch(variable, initial ?? "")) {
    return "Shows how likely each token was, and what could have stood in its place.";
  }
  if (variable.parameter === "seed") {
    parts.push("Not set: another one each time.");
  } else if (expected !== undefined && type !== "slider" && type !== "boolean" && type !== "select") {
    parts.push(`${expected.charAt(0).toUpperCase()}${expected.slice(1)}.`);
  }
  if (initial === undefined && fallback === undefined && unset !== undefined) {
    parts.push(`Not set: ${JSON.stringify(unset)}.`);
  }
  if (isList) {
    parts.push(isJson(type) ? "One item a line, as JSON." : "One item a line.");
  } else if (isJson(type)) {
    parts.push("JSON.");
  }
  if (initial === undefined && fallback !== undefined && fallback !== null) {
    parts.push(`Default: ${JSON.stringify(fallback)}`);
  }
  return parts.length === 0 ? undefined : parts.join(" ");
}
