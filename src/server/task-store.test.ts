import { describe, expect, test } from "vitest";
import { AbortError } from "../base/errors.ts";
import { NoRoomError, weigh } from "./kept-bytes.ts";
import { Task } from "./task.ts";
import { TaskStore } from "./task-store.ts";

const limits = { count: 2, seconds: 10, bytes: 20_000 };

function task(id: string): Task {
  return new Task({ taskId: id }, "w");
}

async function ended(store: TaskStore, id: string, output: unknown = null): Promise<void> {
  const one = task(id);
  store.add(one);
  one.record({ type: "result", result: { output, streamed: false, generations: [] } });
  one.close();
  await one.ended;
}

function ids(store: TaskStore): string[] {
  return store.list().map(({ id }) => id);
}

test("forgets the oldest that have ended, never one that has not", async () => {
  const store = new TaskStore(limits);
  store.add(task("going"));
  for (const id of ["a", "b", "c"]) {
    await ended(store, id);
  }
  expect(ids(store)).toEqual(["c", "b", "going"]);
  expect(store.get("a")).toBeUndefined();
  expect(store.active().map(({ id }) => id)).toEqual(["going"]);
});

test("forgets what ended too long ago", async () => {
  let now = 0;
  const store = new TaskStore(limits, () => now);
  await ended(store, "a");
  now = 9_000;
  expect(store.get("a")?.status).toBe("completed");
  await ended(store, "b");
  now = 11_000;
  expect(ids(store)).toEqual(["b"]);
  now = 20_000;
  expect(ids(store)).toEqual([]);
});

describe("what is kept", () => {
  const kept = (store: TaskStore, id: string, input: unknown, metadata?: unknown): Task => {
    const one = new Task({ taskId: id, metadata }, "w", store.kept.hold(0), input);
    store.add(one);
    return one;
  };
  const end = async (one: Task, output: unknown): Promise<void> => {
    one.record({ type: "result", result: { output, streamed: false, generations: [] } });
    one.close();
    await one.ended;
  };

  test("has a bound in bytes: what ended first makes room", async () => {
    const store = new TaskStore(limits);
    await end(kept(store, "a", null), "x".repeat(6000));
    await end(kept(store, "b", null), "x".repeat(6000));
    expect(ids(store)).toEqual(["b"]);
    expect(store.kept.used).toBeLessThanOrEqual(limits.bytes);
  });

  test("counts the inputs of those that wait, and refuses one for which there is no room", async () => {
    const store = new TaskStore(limits);
    await end(kept(store, "a", null), "short");
    const waiting = kept(store, "b", { prompt: "x".repeat(5000) });
    expect(ids(store)).toEqual(["b", "a"]);
    expect(() => kept(store, "c", { prompt: "x".repeat(5000) })).toThrow(NoRoomError);
    expect(ids(store)).toEqual(["b"]);
    const before = store.kept.used;
    await end(waiting, "done");
    expect(store.kept.used).toBeLessThan(before - 9_000);
    kept(store, "c", { prompt: "x".repeat(5000) });
    expect(ids(store)).toEqual(["c", "b"]);
  });

  test("counts metadata, texts and failures", () => {
    const store = new TaskStore(limits);
    const one = kept(store, "a", null, "m".repeat(1000));
    const before = store.kept.used;
    expect(before).toBeGreaterThan(2000);
    one.record({ type: "text", generation: 0, text: "t".repeat(1000), tokens: 1 });
    expect(store.kept.used).toBeGreaterThanOrEqual(before + 4000);
    one.close(new Error("e".repeat(100_000)));
    expect(store.kept.used).toBeLessThan(limits.bytes);
    expect(one.failure?.message.length).toBe(4000);
  });
});

test("what a model thought is no part of the text so far", () => {
  const one = task("a");
  one.record({ type: "generation-started", generation: 0 } as never);
  one.record({ type: "text", generation: 0, text: "hm", tokens: 1, kind: "reasoning" });
  one.record({ type: "text", generation: 0, text: "Yes", tokens: 1 });
  one.cancel("request");
  one.close(new AbortError());
  expect([one.status, one.text, one.tokens]).toEqual(["cancelled", "Yes", 2]);
});

test("the weight of a value is about what V8 takes for it", () => {
  expect(weigh("abc")).toBe(24 + 6);
  expect(weigh([1, 2, 3])).toBe(56 + 48);
  expect(weigh({ a: { b: null } })).toBe(2 * (56 + 32 + 24 + 1));
  expect(weigh([["x"]])).toBe(2 * (56 + 16) + 26);
  let deep: unknown = null;
  for (let i = 0; i < 1e5; i++) {
    deep = [deep];
  }
  expect(weigh(deep)).toBe(72e5);
});

test("an output that is no JSON fails its task", async () => {
  const one = task("a");
  const circular: Record<string, unknown> = {};
  circular["self"] = circular;
  const result = { output: circular, streamed: false, generations: [] };
  expect(() => one.record({ type: "result", result })).toThrow("The output cannot be written as JSON");
  one.close(new Error("x"));
  await one.ended;
  expect(one.status).toBe("failed");
});
