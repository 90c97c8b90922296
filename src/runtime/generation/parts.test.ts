/** The parts of a generation: what a text must be, its text and its stop, its figures, and how a prompt is cut. */
import { describe, expect, test, vi } from "vitest";
import { keepAllowed } from "../sampling/allowed-tokens.ts";
import { callerSource } from "../sampling/option-source.ts";
import { checkConstraint, resolveConstraint, resolveLogprobs } from "./constraint-options.ts";
import { textOf, wholeText, type StopStrings, type TextCodec } from "./generated-text.ts";
import { logprobOf } from "./logprobs.ts";
import { timingsOf } from "./outcome.ts";
import { chunksOf, passOf, PrefillReport } from "./prefill.ts";

function refusalOf(work: () => unknown): { parameter?: string; message: string } {
  try {
    work();
  } catch (error) {
    return error as { parameter?: string; message: string };
  }
  return { message: "nothing was refused" };
}

describe("what a text must be", () => {
  const resolve = (options: object): unknown => resolveConstraint(callerSource(options));

  test.each<[object, unknown]>([
    [{}, undefined],
    [{ jsonObject: false }, undefined],
    [{ jsonSchema: { type: "number" } }, { kind: "json", schema: { type: "number" } }],
    [{ jsonSchema: true }, { kind: "json", schema: true }],
    [{ jsonObject: true }, { kind: "json", schema: { type: "object" } }],
    [{ regex: "a+" }, { kind: "regex", pattern: "a+" }],
    [{ choice: ["a", "b"] }, { kind: "choice", texts: ["a", "b"] }],
    [{ choice: Array<string>(10_000).fill("a") }, { kind: "choice", texts: Array<string>(10_000).fill("a") }],
  ])("options %#", (options, constraint) => {
    expect(resolve(options)).toEqual(
      constraint === undefined ? undefined : { constraint, parameter: Object.keys(options)[0] },
    );
  });

  test.each<[object, string, string]>([
    [{ jsonSchema: "x" }, "jsonSchema", "a JSON schema: an object"],
    [{ jsonSchema: [] }, "jsonSchema", "a JSON schema: an object"],
    [{ jsonObject: 1 }, "jsonObject", "true or false"],
    [{ regex: "" }, "regex", "a text of at least one character"],
    [{ regex: /a/ }, "regex", "a text of at least one character"],
    [{ choice: [] }, "choice", "a list of 1 to 10000 texts, none empty"],
    [{ choice: ["a", ""] }, "choice", "a list of 1 to 10000 texts"],
    [{ choice: ["a", 1] }, "choice", "a list of 1 to 10000 texts"],
    [{ choice: "a" }, "choice", "a list of 1 to 10000 texts"],
    [{ choice: Array<string>(10_001).fill("a") }, "choice", "a list of 1 to 10000 texts"],
    [{ regex: "a", choice: ["b"] }, "choice", 'The options "regex" and "choice" were given'],
    [{ jsonSchema: {}, jsonObject: true }, "jsonObject", 'The options "jsonSchema" and "jsonObject"'],
  ])("is not %#", (options, parameter, message) => {
    const refusal = refusalOf(() => resolve(options));
    expect(refusal).toMatchObject({ code: "invalid-argument", parameter });
    expect(refusal.message).toContain(message);
  });

  test("an answer's own form counts as one, and what comes before is put before it", () => {
    const form = { constraint: { kind: "json", schema: false }, parameter: "tools" } as const;
    const before = (): never => ({ kind: "before" }) as never;
    expect(resolveConstraint(callerSource({}), { form, before })).toEqual({
      constraint: { kind: "before" },
      parameter: "tools",
    });
    expect(resolveConstraint(callerSource({}), { before })).toBeUndefined();
    expect(refusalOf(() => resolveConstraint(callerSource({ regex: "a" }), { form })).message).toContain(
      'The options "tools" and "regex"',
    );
  });

  test("it is had without beams, and with an end", () => {
    const given = { constraint: { kind: "regex", pattern: "a" }, parameter: "regex" } as const;
    expect(refusalOf(() => checkConstraint(given, undefined, 2, false))).toMatchObject({
      parameter: "regex",
    });
    expect(refusalOf(() => checkConstraint(undefined, 0, 2, false))).toMatchObject({ parameter: "logprobs" });
    expect(refusalOf(() => checkConstraint(given, 3, 1, true))).toMatchObject({
      parameter: "ignoreEos",
      message: expect.stringContaining('cannot be had with "regex"') as string,
    });
    for (const [form, logprobs, beams, ignoresEos] of [
      [given, 3, 1, false],
      [undefined, 3, 1, true],
      [undefined, undefined, 4, true],
    ] as const) {
      expect(() => checkConstraint(form, logprobs, beams, ignoresEos)).not.toThrow();
    }
    expect([undefined, 0, 20].map((logprobs) => resolveLogprobs(callerSource({ logprobs })))).toEqual([
      undefined,
      0,
      20,
    ]);
    for (const logprobs of [-1, 21, 1.5, "3"]) {
      expect(refusalOf(() => resolveLogprobs(callerSource({ logprobs }))).message).toContain("0 .. 20");
    }
  });
});

describe("tokens that a form allows", () => {
  /** 70 tokens of which the mask has some; the scores are their ids. */
  function kept(allowed: readonly number[], mayEnd: boolean, ends: readonly number[]): number[] {
    const scores = Float32Array.from({ length: 70 }, (_, i) => i);
    const mask = new Uint32Array(3);
    for (const token of allowed) {
      mask[token >>> 5] |= 1 << (token & 31);
    }
    const isAny = keepAllowed(scores, { mask, mayEnd }, ends);
    const found = [...scores].flatMap((score, token) => (score === -Infinity ? [] : [token]));
    expect(isAny).toBe(found.length > 0);
    expect(found.every((token) => scores[token] === token)).toBe(true);
    return found;
  }

  test("are kept, with those that end it where it may end", () => {
    expect(kept([0, 31, 32, 69], false, [])).toEqual([0, 31, 32, 69]);
    expect(kept([5], false, [5, 6])).toEqual([]);
    expect(kept([5], true, [6, 64])).toEqual([5, 6, 64]);
    expect(kept([68], true, [200])).toEqual([68]);
    expect(kept([], false, [1])).toEqual([]);
  });
});

describe("a text", () => {
  const codec = {
    incrementalDecoder: () => ({
      push: (id: number) => String.fromCharCode(96 + id),
      finish: (isCut = false) => (isCut ? "" : "~"),
    }),
  } as unknown as TextCodec;
  /** Stops at "c", and holds one character back. */
  const stopStrings = (): StopStrings => {
    let held = "";
    return {
      push: (text) => {
        if (text.includes("c")) {
          return { emit: held, stopped: "c" };
        }
        const emit = (held + text).slice(0, -1);
        held = (held + text).slice(-1);
        return { emit };
      },
      finish: () => held,
    };
  };

  test("without a tokenizer is empty", () => {
    const text = textOf({ stopStrings }, ["c"]);
    expect([text.push(1), text.finish(false)]).toEqual([{ emit: "" }, { emit: "" }]);
  });

  test("is that of its tokens, with what a whole end adds", () => {
    expect(wholeText(textOf({ codec, stopStrings }, []), [1, 2, 3], false)).toEqual({
      text: "abc~",
      isStopped: false,
    });
    expect(wholeText(textOf({ codec, stopStrings }, []), [1, 2, 3], true)).toEqual({
      text: "abc",
      isStopped: false,
    });
  });

  test("ends before a stop string, and has what was held back where there is none", () => {
    expect(wholeText(textOf({ codec, stopStrings }, ["c"]), [1, 2, 3, 4], false)).toEqual({
      text: "ab",
      isStopped: true,
    });
    expect(wholeText(textOf({ codec, stopStrings }, ["c"]), [1, 2], false)).toEqual({
      text: "ab~",
      isStopped: false,
    });
    const late = { ...codec, incrementalDecoder: () => ({ push: () => "a", finish: () => "c" }) };
    expect(wholeText(textOf({ codec: late, stopStrings }, ["c"]), [1], false)).toEqual({
      text: "a",
      isStopped: true,
    });
  });
});

test("log-probabilities are the logits' own, the likeliest first, of equal ones the lowest id", () => {
  const logits = Float32Array.from([1, 3, 2, 3, -Infinity]);
  const sum = Math.exp(1) + 2 * Math.exp(3) + Math.exp(2);
  const codec = {
    tokenBytes: (id: number) => (id === 0 ? undefined : new Uint8Array([0xef, 0xbb, 0xbf, 64 + id])),
  } as unknown as TextCodec;
  const { top, ...own } = logprobOf(logits, 2, 3, codec);
  expect(own).toEqual({
    token: 2,
    text: "\uFEFFB",
    bytes: [0xef, 0xbb, 0xbf, 66],
    logprob: expect.closeTo(2 - Math.log(sum), 12) as number,
  });
  expect(top.map(({ token }) => token)).toEqual([1, 3, 2]);
  expect(logprobOf(logits, 0, 0, codec)).toMatchObject({ text: "", bytes: [], top: [] });
  expect(logprobOf(logits, 4, 9, undefined).top.map(({ token }) => token)).toEqual([1, 3, 2, 0, 4]);
  expect(logprobOf(logits, 4, 1, undefined).logprob).toBe(-Infinity);
  // Logits that exp cannot take are no trouble.
  expect(logprobOf(Float32Array.from([2000, 2000]), 0, 0, undefined).logprob).toBeCloseTo(-Math.log(2), 12);
});

test("figures of a generation: the first token comes out of the prefill", () => {
  expect(timingsOf(10, 2, 4, 9)).toEqual({
    timeToFirstTokenSeconds: 2,
    prefillSeconds: 2,
    decodeSeconds: 4,
    prefillTokensPerSecond: 5,
    decodeTokensPerSecond: 2,
  });
  expect(timingsOf(0, 2, 4, 1)).toMatchObject({ prefillTokensPerSecond: 0, decodeTokensPerSecond: 0 });
  expect(timingsOf(10, 0, 0, 9)).toMatchObject({ prefillTokensPerSecond: 0, decodeTokensPerSecond: 0 });
});

describe("a prompt", () => {
  test("is cut into chunks, each with its place", () => {
    expect(chunksOf(Int32Array.of(5, 6, 7, 8, 9), 2)).toEqual([
      { rows: Int32Array.of(5, 6), position: 0 },
      { rows: Int32Array.of(7, 8), position: 2 },
      { rows: Int32Array.of(9), position: 4 },
    ]);
    expect(chunksOf(new Int32Array(), 2)).toEqual([]);
    expect(passOf({ rows: Int32Array.of(7, 8), position: 2 }, 3)).toEqual({
      tokens: Int32Array.of(7, 8),
      slots: Int32Array.of(3, 3),
      positions: Int32Array.of(2, 3),
    });
  });

  test("its progress: within a chunk as the device says, after one where the last word is long ago", () => {
    let time = 0;
    const now = vi.spyOn(performance, "now").mockImplementation(() => time);
    const told: unknown[] = [];
    const report = new PrefillReport((progress) => told.push(progress), 100);
    report.after(10);
    time = 199;
    report.after(20);
    time = 200;
    report.after(30);
    report.after(40);
    time = 300;
    report.within(40, 10)?.(0.55);
    time = 499;
    report.after(50);
    time = 500;
    report.after(60);
    expect(told).toEqual([30, 45, 60].map((done) => ({ done, total: 100 })));
    expect(new PrefillReport(undefined, 100).within(0, 10)).toBeUndefined();
    now.mockRestore();
  });
});
