import { describe, expect, test } from "vitest";
import { loadText } from "../../../test/support/compose.ts";
import { workflowSchema } from "../../server/bodies.ts";
import { fieldsOf, type Field } from "./fields.ts";
import { inputFromForm } from "./form-input.ts";
import type { VariableType, WireVariable, WireWorkflow } from "./wire.ts";

function field(type: VariableType, more: Partial<WireVariable> = {}): Field {
  return fieldsOf([{ name: "x", type, is_list: false, ...more }])[0];
}

describe("controls", () => {
  test.each<[VariableType, Partial<WireVariable>, Partial<Field>]>([
    ["string", { default: "a" }, { control: { kind: "text", rows: 1, code: false }, initial: "a" }],
    ["text", {}, { control: { kind: "text", rows: 6, code: false }, initial: "" }],
    ["integer", { default: 250 }, { control: { kind: "number", step: 1 }, initial: "250" }],
    ["number", { default: 0.7 }, { control: { kind: "number", step: "any" }, initial: "0.7" }],
    [
      "slider",
      { subtype: "0,2,0.1", default: 0.5 },
      { control: { kind: "range", min: 0, max: 2, step: 0.1 }, initial: "0.5" },
    ],
    ["slider", { subtype: "0,2" }, { control: { kind: "number", min: 0, max: 2, step: "any" }, initial: "" }],
    ["boolean", { default: false }, { control: { kind: "checkbox" }, initial: "false" }],
    [
      "select",
      { options: ["a", "b"], default: "b" },
      {
        control: { kind: "select", options: ["a", "b"].map((value) => ({ value, label: value })) },
        initial: "b",
      },
    ],
    [
      "json",
      { default: { a: [1] } },
      {
        control: { kind: "text", rows: 4, code: true },
        hint: "JSON.",
        initial: '{\n  "a": [\n    1\n  ]\n}',
      },
    ],
    [
      "text",
      { is_list: true, default: ["a", "b c"] },
      { control: { kind: "text", rows: 4, code: false }, hint: "One item a line.", initial: "a\nb c" },
    ],
  ])("%s %j", (type, more, expected) => {
    expect(field(type, more)).toMatchObject(expected);
  });

  test("what is not chosen is not sent: a boolean and a select without a default can stay unset", () => {
    const boolean = field("boolean");
    expect(boolean.control).toMatchObject({ kind: "select", options: [{ value: "" }, {}, {}] });
    expect(boolean.initial).toBe("");
    expect(field("select", { options: ["a"] }).control).toMatchObject({
      options: [{ value: "", label: "(not set)" }, { value: "a" }],
    });
    expect(field("select", { options: ["a"], required: true }).control).toMatchObject({
      options: [{ value: "", label: "Choose…" }, { value: "a" }],
    });
  });

  test("a default that the control cannot hold is said, not shown wrongly", () => {
    expect(field("text", { is_list: true, default: ["two\nlines"] })).toMatchObject({
      initial: "",
      hint: 'One item a line. Default: ["two\\nlines"]',
    });
    expect(field("select", { options: ["a"], default: "b" })).toMatchObject({
      initial: "",
      hint: 'Default: "b"',
    });
  });

  test("a parameter has its range, in words too, and what it is by itself", () => {
    const parameter = {
      parameter: "top_p",
      minimum: 0,
      maximum: 1,
      expected: "a number > 0 and <= 1",
      unset: 0.9,
    };
    expect(field("number", parameter)).toMatchObject({
      control: { kind: "number", min: 0, max: 1, step: "any" },
      hint: "A number > 0 and <= 1. Not set: 0.9.",
    });
    expect(field("number", { ...parameter, default: 0.5 }).hint).toBe("A number > 0 and <= 1.");
    expect(field("integer", { ...parameter, parameter: "seed" }).hint).toMatch(
      /^Not set: another one each time\./,
    );
    // A slider, and a box that is checked, show what they allow.
    expect(field("slider", { ...parameter, subtype: "0,1,0.1", default: 0.5 }).hint).toBeUndefined();
  });

  test("the probabilities of tokens are a switch, unless the file has some in any case", () => {
    const logprobs = { parameter: "logprobs", minimum: 0, maximum: 20, expected: "an integer in 0 .. 20" };
    expect(field("integer", logprobs)).toMatchObject({
      label: "Token alternatives",
      control: { kind: "switch", on: "5" },
      initial: "",
    });
    expect(field("integer", { ...logprobs, default: 0 }).control.kind).toBe("switch");
    expect(field("integer", { ...logprobs, default: 3 })).toMatchObject({
      control: { kind: "number", max: 20 },
    });
  });

  test("the whole input has a name for people; a description is the author's", () => {
    const annotations = [{ name: "description", text: "How warm" }];
    expect(fieldsOf([{ type: "string", is_list: false, required: true, annotations }])[0]).toMatchObject({
      key: "",
      label: "input",
      required: true,
      description: "How warm",
    });
  });
});

test("from a compose file to the form and back: the defaults as they stand are the input", () => {
  const definition = loadText(`component:
  type: model
  task: text-generation
  model: m
  prompt: \${input.prompt as text | "Once upon a time"}
  params:
    temperature: \${input.t as slider/0,2,0.1 | 0.5}
    top_k: \${input.options.top_k as integer | 40}
    do_sample: \${input.sample as boolean | true}
    stop_sequences: \${input.stops as text[] | ["a", "b"]}
    seed: \${input.seed as integer}
`);
  const body = workflowSchema(definition, definition.workflows[0]);
  const { input } = JSON.parse(JSON.stringify(body)) as WireWorkflow;
  const texts = new Map(fieldsOf(input).map(({ key, initial }) => [key, initial]));
  expect(inputFromForm(input, texts)).toEqual({
    prompt: "Once upon a time",
    t: 0.5,
    options: { top_k: 40 },
    sample: true,
    stops: ["a", "b"],
  });
});
