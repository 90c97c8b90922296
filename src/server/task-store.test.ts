import { expect, test } from "vitest";
import { Task } from "./task.ts";
import { TaskStore } from "./task-store.ts";

const limits = { count: 2, seconds: 10, characters: 100 };

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

test("outputs have a bound together", async () => {
  const store = new TaskStore(limits);
  await ended(store, "a", "x".repeat(60));
  await ended(store, "b", "x".repeat(60));
  expect(ids(store)).toEqual(["b"]);
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
