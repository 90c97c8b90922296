import { describe, expect, test } from "vitest";
import { eventsOf, FakeModels, loadText, runCompose } from "../../../test/support/compose.ts";
import { ModelHost } from "../model-host.ts";
import { Engine } from "./engine.ts";
import type { RunEvent } from "./events.ts";

const components = `components:
  - { id: writer, default: true, type: model, task: text-generation, model: some/model, prompt: "\${input.prompt}", return_full_text: false }
  - { id: echo, type: workflow, workflow: echo }
`;

/** A compose file with a workflow of these jobs, and a workflow that gives its input back. */
function jobs(text: string, more = ""): string {
  return `${components}workflows:
  - id: echo
    private: true
    jobs: [{ id: back, type: delay, duration: 0, output: "\${input}" }]
  - id: main
    default: true
    jobs:
${text.replace(/^/gm, "      ")}
${more.replace(/^/gm, "    ")}
`;
}

/** A job that gives its input back. */
function echo(id: string, rest = ""): string {
  return `- { id: ${id}, component: echo, input: "${id}"${rest} }`;
}

async function output(text: string, input: unknown = {}, more = ""): Promise<unknown> {
  return (await runCompose(jobs(text, more), { input })).result.output;
}

async function failure(text: string, input: unknown = {}): Promise<Error> {
  const error: unknown = await runCompose(jobs(text), { input }).catch((reason: unknown) => reason);
  if (!(error instanceof Error)) {
    throw new Error("the run succeeded");
  }
  return error;
}

/** What happened to jobs, in order. */
function trace(events: Awaited<ReturnType<typeof runCompose>>["events"]): string[] {
  return events.flatMap((event) => {
    if (event.type === "job-started") {
      return [`> ${event.path.join(".")}`];
    }
    return event.type === "job-ended" ? [`< ${event.path.join(".")} ${event.outcome}`] : [];
  });
}

describe("order", () => {
  test("a job starts when those it depends on have completed, and sees their outputs", async () => {
    const text = `- { id: c, component: echo, depends_on: [a, b], input: "\${jobs.a.output}+\${jobs.b.output}" }
${echo("a")}
${echo("b", ", depends_on: [a]")}`;
    const { result, events } = await runCompose(jobs(text), { input: {} });
    expect(result.output).toBe("a+b");
    expect(trace(events).filter((line) => !line.includes("."))).toEqual([
      "> a",
      "< a completed",
      "> b",
      "< b completed",
      "> c",
      "< c completed",
    ]);
    expect(events[0]).toMatchObject({ type: "run-started", workflow: "main" });
  });

  test("jobs that do not depend on each other run at the same time", async () => {
    const fake = new FakeModels();
    fake.delay = 20;
    const text = ["a", "b", "c"].map((id) => `- { id: ${id}, input: { prompt: ${id} } }`).join("\n");
    await runCompose(jobs(text), { input: {} }, fake);
    expect(fake.mostActive).toBe(3);
    expect(fake.loads).toHaveLength(1);
  });

  test("one of a group is enough", async () => {
    // Nobody waits for the slow one: the test has seen enough when the last job has ended.
    const text = `- { id: slow, type: delay, duration: 1h }
${echo("quick")}
- { id: end, depends_on: [[slow, quick]], component: echo, input: "\${jobs.quick.output}" }`;
    const host = new ModelHost(new FakeModels().load);
    const ended: RunEvent[] = [];
    for await (const event of new Engine(loadText(jobs(text)), host).run({ input: {} })) {
      if (event.type === "job-ended" && event.path.length === 1) {
        ended.push(event);
        if (event.path[0] === "end") {
          break;
        }
      }
    }
    await host.dispose();
    expect(trace(ended)).toEqual(["< quick completed", "< end completed"]);
  });
});

describe("what a workflow gives", () => {
  test("objects of the last jobs, merged in the order of the file", async () => {
    const text = `- { id: late, type: delay, duration: 30ms, output: { x: 1, late: true } }
- { id: early, type: delay, duration: 0, output: { x: 2, early: true } }`;
    expect(await output(text)).toEqual({ x: 2, late: true, early: true });
  });

  test("otherwise what completed last", async () => {
    const text = `- { id: late, type: delay, duration: 30ms, output: late }
- { id: early, type: delay, duration: 0, output: { early: true } }`;
    expect(await output(text)).toBe("late");
  });

  test("its own template, from any job", async () => {
    const text = `${echo("a")}\n${echo("b", ", depends_on: [a]")}`;
    const more = 'output: { a: "${jobs.a.output}", all: "${jobs}", task: "${context.session_id}" }';
    expect(await output(text, {}, more)).toEqual({
      a: "a",
      all: { a: { output: "a" }, b: { output: "b" } },
      task: null,
    });
  });

  test("a field called __proto__ is a field", async () => {
    const text = `- { id: a, component: echo }\n- { id: b, type: delay, duration: 0, output: { b: 1 } }`;
    const input: unknown = JSON.parse('{"__proto__": {"polluted": true}}');
    const result = await output(text, input);
    expect(Object.keys(result as object)).toEqual(["__proto__", "b"]);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe("routes", () => {
  const branches = `${echo("yes")}\n${echo("no")}\n${echo("maybe")}`;

  test.each([
    ['input: "${input.x}", operator: eq, value: 1, if_true: yes, if_false: no', { x: 1 }, "yes"],
    ['input: "${input.x}", operator: eq, value: 1, if_true: yes, if_false: no', { x: "1" }, "no"],
    ['input: "${input.x}", operator: gt, value: 5, if_true: yes, otherwise: maybe', { x: "6" }, "yes"],
    ['input: "${input.x}", operator: gt, value: 5, if_true: yes, otherwise: maybe', { x: 4 }, "maybe"],
    [
      'operator: in, value: "${input.list}", input: "${input.x}", if_true: yes',
      { x: [1], list: [[1]] },
      "yes",
    ],
    ['operator: match, value: "a+b", input: "${input.x}", if_true: yes, if_false: no', { x: "aab!" }, "yes"],
    ['operator: match, value: "a+b", input: "${input.x}", if_true: yes, if_false: no', { x: "xab" }, "no"],
  ])("if %s with %j", async (condition, input, expected) => {
    const text = `- { id: choose, type: if, ${condition} }\n${branches}`;
    const unused = ["yes", "no", "maybe"].filter((id) => !condition.includes(`: ${id}`));
    const used = unused.reduce((all, id) => all.replace(`${echo(id)}`, ""), text);
    expect(await output(used, input)).toBe(expected);
  });

  test("conditions in turn, with inputs of their own or the job's", async () => {
    const text = `- id: choose
  type: if
  input: "\${input.score}"
  conditions:
    - { operator: gte, value: 80, if_true: yes }
    - { input: "\${input.name}", operator: starts-with, value: A, if_true: maybe }
  otherwise: no
${branches}`;
    expect(await output(text, { score: 90, name: "B" })).toBe("yes");
    expect(await output(text, { score: 10, name: "Ada" })).toBe("maybe");
    expect(await output(text, { score: 10, name: "Bob" })).toBe("no");
  });

  test("switch, by the whole input when it has none of its own", async () => {
    const text = `- { id: choose, type: switch, cases: [{ value: 1, then: yes }, { value: { k: [1] }, then: no }], otherwise: maybe }
${branches}`;
    expect(await output(text, 1)).toBe("yes");
    expect(await output(text, { k: [1] })).toBe("no");
    expect(await output(text, null)).toBe("maybe");
  });

  test("the way not taken is skipped, with what hangs on it; what comes together goes on", async () => {
    const text = `- { id: choose, type: if, input: "\${input}", operator: eq, value: 1, if_true: yes, if_false: no }
${echo("yes")}
${echo("no")}
${echo("after-no", ", depends_on: [no]")}
- { id: end, component: echo, depends_on: [yes, after-no], input: "\${jobs.yes.output}|\${jobs.after-no.output}" }`;
    const { result, events } = await runCompose(jobs(text), { input: 1 });
    expect(result.output).toBe("yes|");
    expect(trace(events)).not.toContain("> no");
    expect(await output(text, 2)).toBe("|after-no");
    expect(eventsOf(events, "job-ended").find(({ path }) => path[0] === "choose")).toMatchObject({
      outcome: "routed",
      to: "yes",
    });
  });

  test("a target that also depends on the signpost", async () => {
    const text = `- { id: choose, type: if, input: 1, operator: eq, value: 1, if_true: yes, if_false: no }
${echo("yes", ", depends_on: [choose]")}
${echo("no", ", depends_on: [choose]")}`;
    expect(await output(text)).toBe("yes");
  });

  test("no way at all", async () => {
    const text = `- { id: choose, type: if, input: 1, operator: eq, value: 2, if_true: yes }\n${echo("yes")}`;
    expect(await output(text)).toBeNull();
  });

  const loop = `- { id: start, type: if, input: 1, operator: eq, value: 1, if_true: draft }
- { id: draft, component: writer, input: { prompt: "p" }, max_run_count: 3 }
- { id: check, type: if, depends_on: [draft], input: "\${jobs.draft.output}", operator: match, value: "\${input.until}", if_true: done, if_false: draft }
- { id: done, component: echo, input: "\${jobs.draft.output}" }`;

  test("a route back runs the jobs behind it again", async () => {
    const { result, events } = await runCompose(jobs(loop), { input: { until: " <3" } });
    expect(result.output).toBe(" <3:0,0,0>");
    const runs = eventsOf(events, "job-started").filter(({ path }) => path[0] === "draft");
    expect(runs.map(({ run }) => run)).toEqual([1, 2, 3]);
  });

  test("a job that runs again sees its former output; what runs behind it begins anew", async () => {
    const text = `- { id: start, type: if, input: 1, operator: eq, value: 1, if_true: draft }
- { id: draft, component: echo, input: "\${jobs.draft.output}x" }
- { id: side, depends_on: [draft], type: delay, duration: "\${input.wait}", output: { side: "\${jobs.draft.output}" } }
- { id: check, type: if, depends_on: [draft], input: "\${jobs.draft.output}", operator: eq, value: xxx, if_true: done, if_false: draft }
- { id: done, type: delay, duration: 0, output: { done: "\${jobs.draft.output}" } }`;
    const { result, events } = await runCompose(jobs(text), { input: { wait: "50ms" } });
    expect(result.output).toEqual({ side: "xxx", done: "xxx" });
    const side = eventsOf(events, "job-ended").filter(({ path }) => path[0] === "side");
    expect(side.map(({ outcome }) => outcome)).toEqual(["aborted", "aborted", "completed"]);
  });

  test("max_run_count ends a loop", async () => {
    const error = await failure(loop, { until: "never" });
    expect(error.message).toContain('The job "draft" has run 3 times');
    expect(error).toMatchObject({ code: "invalid-input" });
  });

  test("comparisons that make no sense are errors", async () => {
    const text = `- { id: choose, type: if, input: "\${input}", operator: gt, value: 1, if_true: yes }\n${echo("yes")}`;
    expect((await failure(text, { a: 1 })).message).toContain("gt compares two numbers or two texts");
  });
});

describe("repeat_count and for-each", () => {
  test("outputs in the order of the calls, through the job's mapping", async () => {
    const text = `- { id: a, repeat_count: "\${input.n}", input: { prompt: "p\${index}" }, output: { i: "\${index}", text: "\${output}" } }`;
    expect(await output(text, { n: 2 })).toEqual([
      { i: 0, text: " <1:0,0,0>" },
      { i: 1, text: " <2:0,0,1>" },
    ]);
    expect(await output(text, { n: 1 })).toEqual({ i: 0, text: " <1:0,0,0>" });
  });

  test.each([0, -1, 1.5, "x", null, 1001])("repeat_count %j is refused", async (n) => {
    const text = `- { id: a, repeat_count: "\${input.n}", input: { prompt: p } }`;
    expect(await failure(text, { n })).toMatchObject({ code: "invalid-input" });
  });

  test("for-each: item, index, their order, and the job's own output", async () => {
    const text = `- id: each
  type: for-each
  input: "\${input.items}"
  batch_size: 2
  do: { input: { prompt: "\${index}:\${item.name} of \${input.title}" }, output: "\${item.name}=\${output}" }
  output: { all: "\${output}" }`;
    const fake = new FakeModels();
    fake.delay = 5;
    const input = { title: "T", items: [{ name: "a" }, { name: "b" }, { name: "c" }] };
    const { result } = await runCompose(jobs(text), { input }, fake);
    expect(result.output).toEqual({ all: ["a= <1:0,0,0>", "b= <2:0,0,1>", "c= <3:0,0,2>"] });
    expect(fake.calls.map(({ prompt }) => prompt)).toEqual(["0:a of T", "1:b of T", "2:c of T"]);
    expect(fake.mostActive).toBe(2);
  });

  test("for-each without input of do hands the item on; one value gives one output; an empty list an empty one", async () => {
    const text = `- { id: each, type: for-each, input: "\${input}", do: { component: echo } }`;
    expect(await output(text, [1, [2]])).toEqual([1, [2]]);
    expect(await output(text, "one")).toBe("one");
    expect(await output(text, [])).toEqual([]);
  });

  test("streams are joined: one text each", async () => {
    const yaml = `component: { type: model, task: text-generation, model: m, prompt: "\${input}", streaming: true }
workflow: { job: { type: for-each, input: "\${input}", do: {} } }
`;
    const { result, events } = await runCompose(yaml, { input: ["a", "b"] });
    expect(result).toMatchObject({ streamed: false, output: [" <1:0,0,0>", " <2:0,0,1>"] });
    expect(eventsOf(events, "output")).toEqual([]);
  });

  test("what is missing is named as the run's input has it", async () => {
    const text = `- { id: each, type: for-each, input: "\${input.items}", do: { input: { prompt: "\${item.text}" } } }`;
    expect(await failure(text, {})).toMatchObject({ field: "items" });
    const fake = new FakeModels();
    const run = runCompose(jobs(text), { input: { items: [{ text: "a" }, {}] } }, fake);
    await expect(run).rejects.toMatchObject({ code: "invalid-input", field: "items[1].text" });
    // The input is refused before any model is called.
    expect(fake.calls).toEqual([]);
  });

  test("ceilings, settable in the file", async () => {
    const text = `- { id: each, type: for-each, input: "\${input}", do: { component: echo } }`;
    const limited = `controller: { limits: { for_each_items: 2 } }\n${jobs(text)}`;
    await expect(runCompose(limited, { input: [1, 2, 3] })).rejects.toMatchObject({
      code: "invalid-input",
      message: expect.stringContaining("for_each_items is at most 2 here, found 3") as string,
    });
    expect((await runCompose(limited, { input: [1, 2] })).result.output).toEqual([1, 2]);
  });
});

describe("failures", () => {
  const fails = (times: number): FakeModels => {
    const fake = new FakeModels();
    let left = times;
    fake.fail = (prompt) => (prompt === "bad" && left-- > 0 ? new Error("it broke") : undefined);
    return fake;
  };

  test("the first fails the run and ends the others", async () => {
    const text = `- { id: slow, type: delay, duration: 1h }\n- { id: bad, input: { prompt: bad } }`;
    // A delay that went on would outlast the time limit of the test.
    await expect(runCompose(jobs(text), { input: {} }, fails(1))).rejects.toThrow("it broke");
  });

  test("one of several calls that fails ends the others of its job", async () => {
    const text = `- { id: each, type: for-each, input: ["bad", "1h"], batch_size: 2, do: { component: nap, input: "\${item}" } }`;
    const yaml = jobs(text).replace(
      "workflows:\n",
      `  - { id: nap, type: workflow, workflow: nap }
workflows:
  - { id: nap, jobs: [{ id: z, type: delay, duration: "\${input}" }] }
`,
    );
    await expect(runCompose(yaml, { input: {} })).rejects.toThrow("duration must be seconds");
  });

  test("retries, with their delays", async () => {
    const text = `- { id: bad, input: { prompt: bad }, retry: { max_attempt_count: 3, delay: 20ms, backoff: exponential, max_delay: 30ms } }`;
    const { result, events } = await runCompose(jobs(text), { input: {} }, fails(2));
    expect(result.output).toBe(" <3:0,0,0>");
    expect(eventsOf(events, "job-retried")).toMatchObject([
      { path: ["bad"], attempt: 1, attempts: 3, delaySeconds: 0.02, message: "it broke" },
      { path: ["bad"], attempt: 2, attempts: 3, delaySeconds: 0.03 },
    ]);
    await expect(runCompose(jobs(text), { input: {} }, fails(3))).rejects.toThrow("it broke");
  });

  test("a fault of the input is not tried again", async () => {
    const text = `- { id: a, input: { prompt: "\${input.p}" }, retry: 5 }`;
    const run = runCompose(jobs(text), { input: {} });
    await expect(run).rejects.toMatchObject({ field: "p" });
  });

  test("on_error: nothing, a value, another job", async () => {
    const bad = (onError: string): string => `- { id: bad, input: { prompt: bad }, on_error: ${onError} }`;
    const run = async (text: string): Promise<unknown> =>
      (await runCompose(jobs(text), { input: {} }, fails(1))).result.output;
    expect(await run(bad("ignore"))).toBeNull();
    expect(await run(bad('{ output: { why: "${error.message}" } }'))).toEqual({ why: "it broke" });
    expect(await run(`${bad("{ to: rescue }")}\n${echo("rescue")}`)).toBe("rescue");
    const warned = await runCompose(jobs(bad("ignore")), { input: {} }, fails(1));
    expect(eventsOf(warned.events, "warning")[0]?.message).toContain("it broke");
  });

  test("a stream that has begun is not begun again", async () => {
    const text = (output: string): string =>
      `- { id: s, retry: 3, on_error: ignore, output: ${output}, component: { type: model, task: text-generation, model: m, prompt: p, streaming: true } }`;
    const passed = new FakeModels();
    passed.breaks = 1;
    await expect(runCompose(jobs(text('"${output}"')), { input: {} }, passed)).rejects.toThrow(
      "it broke off",
    );
    expect(passed.calls).toHaveLength(1);
    // Where the pieces are joined, none has left before the failure.
    const joined = new FakeModels();
    joined.breaks = 2;
    const { result, events } = await runCompose(jobs(text('{ text: "${output}" }')), { input: {} }, joined);
    expect(result.output).toEqual({ text: " <3:0,0,0>" });
    const ended = eventsOf(events, "generation-ended");
    expect(ended.map(({ generation, record }) => [generation, record !== undefined])).toEqual([
      [0, false],
      [1, false],
      [2, true],
    ]);
    expect(result.generations).toHaveLength(1);
  });
});

describe("aborting", () => {
  test("a delay ends at once", async () => {
    const controller = new AbortController();
    const run = runCompose(jobs("- { id: a, type: delay, duration: 1d }"), {
      input: {},
      signal: controller.signal,
    });
    setTimeout(() => controller.abort(new Error("enough")), 20);
    await expect(run).rejects.toMatchObject({ code: "aborted", cause: new Error("enough") });
  });
});

describe("other workflows", () => {
  test("their templates see what they are given; what is missing is named as the run's input has it", async () => {
    const yaml = `${components}  - id: inner
    type: workflow
    action: { workflow: inner, input: { prompt: "\${input.question}" }, output: "[\${output}]" }
workflows:
  - { id: echo, jobs: [{ id: back, type: delay, duration: 0 }] }
  - { id: inner, component: writer }
  - { id: main, default: true, component: inner, input: { question: "\${input.q}" } }
`;
    const { result, events } = await runCompose(yaml, { input: { q: "Hi" } });
    expect(result.output).toBe("[ <1:0,0,0>]");
    expect(result.generations).toMatchObject([{ path: ["__job__", "__job__"] }]);
    expect(trace(events)).toEqual([
      "> __job__",
      "> __job__.__job__",
      "< __job__.__job__ completed",
      "< __job__ completed",
    ]);
    await expect(runCompose(yaml, { input: {} })).rejects.toMatchObject({ field: "q" });
  });

  test("a stream passes through", async () => {
    const yaml = `components:
  - { id: writer, type: model, task: text-generation, model: m, prompt: "\${input.prompt}", streaming: true }
  - { id: call, type: workflow, workflow: inner }
workflows:
  - { id: inner, component: writer }
  - { id: main, default: true, component: call }
`;
    const { result, events } = await runCompose(yaml, { input: { prompt: "Hi" } });
    expect(result).toMatchObject({ streamed: true, output: " <1:0,0,0>" });
    expect(eventsOf(events, "output")).toHaveLength(2);
  });
});

test("max_concurrent_count of a component holds over all of its calls", async () => {
  const yaml = `component: { type: model, task: text-generation, model: m, prompt: p, max_concurrent_count: 2 }
workflow: { job: { id: a, repeat_count: 6 } }
`;
  const fake = new FakeModels();
  fake.delay = 5;
  await runCompose(yaml, { input: {} }, fake);
  expect(fake.mostActive).toBe(2);
});
