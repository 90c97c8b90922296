/** What of a file has a model's name, and what a workflow is asked where it has a place for it. */
import { describe, expect, test } from "vitest";
import { loadText } from "../../../test/support/compose.ts";
import { chatTools } from "../anthropic/messages.ts";
import { messageWriter } from "../anthropic/writer.ts";
import { workflowEntry } from "../bodies.ts";
import type { RunRequest } from "../schemas.ts";
import type { WorkflowService } from "../service.ts";
import type { AnswerEvent } from "./answer.ts";
import { ask, type Question } from "./ask.ts";
import { ModelCatalog, type ApiModel } from "./catalog.ts";

const WEB = "{ id: web, type: http-client, base_url: 'http://x.example', path: /p }";

describe("a name of a model", () => {
  const catalog = (yaml: string): ModelCatalog => new ModelCatalog(loadText(yaml));
  const refusalOf = (models: ModelCatalog, id: string): object => {
    try {
      return models.find(id);
    } catch (error) {
      return error as object;
    }
  };

  test("is a component's, its model's where no other has that, or a workflow's that takes what is said", () => {
    const models = catalog(`components:
  - { id: one, type: model, task: text-generation, model: m/a, prompt: "\${input.p}" }
  - { id: two, type: model, task: text-generation, model: m/b, prompt: "\${input.p}" }
  - { id: same, type: model, task: text-generation, model: m/b, prompt: "\${input.p}" }
  - ${WEB}
workflows:
  - { id: says, default: true, jobs: [{ id: j, component: one, input: { p: "\${input.prompt}" } }] }
  - { id: other, jobs: [{ id: j, component: one, input: { p: "\${input.topic}" } }] }
  - { id: hidden, private: true, jobs: [{ id: j, component: one, input: { p: "\${input.prompt}" } }] }
`);
    expect(models.models.map(({ id }) => id)).toEqual(["one", "two", "same", "says"]);
    expect(models.find("m/a")).toMatchObject({ kind: "component", component: { id: "one" } });
    expect(refusalOf(models, "m/b")).toMatchObject({ status: 404 });
    expect(refusalOf(models, "sayz")).toMatchObject({
      reason: "unknown-model",
      field: "model",
      message: 'There is no model "sayz". Did you mean "says"?',
    });
    expect(refusalOf(models, "xxxxxx")).toMatchObject({
      message: 'There is no model "xxxxxx". Models: one, two, same, says.',
    });
  });

  test("is none's where a file has no model", () => {
    expect(refusalOf(catalog(`component: ${WEB}\n`), "x")).toMatchObject({
      message: 'There is no model "x". Models: none.',
    });
  });
});

describe("a question to a workflow", () => {
  /** The input with which a workflow that reads some fields is started. */
  function inputOf(fields: readonly string[], question: Partial<Question>): unknown {
    const started: RunRequest[] = [];
    const service = {
      start: (request: RunRequest) => started.push(request),
    } as unknown as WorkflowService;
    const model = {
      kind: "workflow",
      id: "w",
      workflow: { id: "w" },
      takes: (field: string) => fields.includes(field),
    } as unknown as ApiModel;
    const subject = { kind: "chat", messages: [{ role: "user", content: "Hi" }] } as const;
    ask(service, { operation: "/x", model, subject, settings: [], ...question });
    return (started[0] as { input?: unknown } | undefined)?.input;
  }

  test("has the tools that it has a place for; none is no tool", () => {
    expect(inputOf(["messages", "tools"], { tools: [{ a: 1 }] })).toMatchObject({ tools: [{ a: 1 }] });
    for (const tools of [null, undefined]) {
      expect(inputOf(["messages"], { tools })).toEqual({ messages: [{ role: "user", content: "Hi" }] });
    }
    expect(() => inputOf(["messages"], { tools: [] })).toThrow(
      'The workflow "w" has no place for tools: its file would have to use ${input.tools}.',
    );
  });

  test("has settings by the field's name or the parameter's; one answer is what there is", () => {
    const setting = (field: string, parameter: string, value: unknown): Question["settings"] =>
      [{ field, parameter, value }] as Question["settings"];
    const tokens = setting("max_tokens", "max_output_length", 5);
    expect(inputOf(["messages", "max_tokens"], { settings: tokens })).toMatchObject({ max_tokens: 5 });
    expect(inputOf(["messages", "max_output_length"], { settings: tokens })).toMatchObject({
      max_output_length: 5,
    });
    expect(() => inputOf(["messages"], { settings: tokens })).toThrow(
      "${input.max_tokens} or ${input.max_output_length}",
    );
    expect(inputOf(["messages"], { settings: setting("n", "num_return_sequences", 1) })).not.toHaveProperty(
      "n",
    );
    expect(() => inputOf(["messages"], { settings: setting("n", "num_return_sequences", 2) })).toThrow(
      "no place for n",
    );
  });

  test("asks of calls what needs a place only where it is unusual", () => {
    expect(() =>
      inputOf(["messages"], { calls: { tool_choice: "auto", parallel_tool_calls: true } }),
    ).not.toThrow();
    expect(() => inputOf(["messages"], { calls: { parallel_tool_calls: false } })).toThrow(
      "parallel_tool_calls",
    );
    expect(inputOf(["messages", "tool_choice"], { calls: { tool_choice: "auto" } })).toMatchObject({
      tool_choice: "auto",
    });
  });
});

test("a workflow is the default where it says so, or is the only one", () => {
  const two = loadText(`component: ${WEB}
workflows: [{ id: a, default: true }, { id: b, title: B }]
`);
  expect(two.workflows.map((workflow) => workflowEntry(two, workflow))).toMatchObject([
    { workflow_id: "a", default: true },
    { workflow_id: "b", title: "B", default: undefined },
  ]);
  const one = loadText(`component: ${WEB}\nworkflow: { title: One }\n`);
  expect(workflowEntry(one, one.workflows[0])).toMatchObject({ default: true });
});

describe("Anthropic's API", () => {
  test("functions have what they were described with, and nothing else", () => {
    const schema = { type: "object" };
    expect(
      chatTools([
        { name: "f", input_schema: schema },
        { name: "g", description: "d", input_schema: schema, strict: true },
      ] as Parameters<typeof chatTools>[0]),
    ).toStrictEqual([
      { type: "function", function: { name: "f", parameters: schema } },
      { type: "function", function: { name: "g", description: "d", parameters: schema, strict: true } },
    ]);
    expect(chatTools(undefined)).toBeUndefined();
  });

  test.each<[AnswerEvent & { type: "end" }, boolean, string, string | null]>([
    [{ type: "end", choice: 0, finish: "eos" }, false, "end_turn", null],
    [{ type: "end", choice: 0, finish: "length" }, false, "max_tokens", null],
    [{ type: "end", choice: 0, finish: "context" }, false, "max_tokens", null],
    [{ type: "end", choice: 0, finish: "length" }, true, "max_tokens", null],
    [{ type: "end", choice: 0, finish: "eos" }, true, "tool_use", null],
    [{ type: "end", choice: 0, finish: "stop", stopString: "." }, true, "tool_use", null],
    [{ type: "end", choice: 0, finish: "stop", stopString: "." }, false, "stop_sequence", "."],
  ])("an answer that ends by %j (calls: %s) ends by %s", async (end, calls, reason, sequence) => {
    const events = async function* (): AsyncGenerator<AnswerEvent> {
      yield await Promise.resolve({ type: "begin" } as const);
      if (calls) {
        yield { type: "call", choice: 0, call: { id: "c", name: "f", arguments: {} } as never };
      }
      yield end;
    };
    const writer = messageWriter({ id: "m" } as ApiModel, true);
    expect(await writer.whole(events())).toMatchObject({ stop_reason: reason, stop_sequence: sequence });
    let stream = "";
    for await (const piece of writer.stream!(events())) {
      expect(piece).not.toBe("");
      stream += piece;
    }
    expect(stream).toContain("event: message_start");
  });
});
