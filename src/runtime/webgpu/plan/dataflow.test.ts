import { expect, test } from "vitest";
import type { Op } from "../../program.ts";
import { cacheOf, Clusters, Dataflow } from "./dataflow.ts";

const linear = (input: string, output: string, accumulate = false): Op => ({
  role: "linear",
  input,
  weight: "w",
  output,
  accumulate,
});
const append = (layer: number): Op => ({ role: "append", key: "k", value: "v", layer });
const attention = (layer: number): Op => ({
  role: "attention",
  over: "past",
  query: "q",
  layer,
  heads: 1,
  scale: 1,
  output: "o",
});

test("who reads what whom wrote, in buffers and in the cache", () => {
  const flow = new Dataflow([
    linear("x", "a"),
    linear("a", "b"),
    linear("a", "a2", true),
    linear("x", "a"),
    linear("a", "b"),
    append(0),
    append(1),
    attention(0),
  ]);
  expect(flow.writer(0, "x")).toBeUndefined();
  expect([1, 2, 4].map((i) => flow.writer(i, "a"))).toEqual([0, 0, 3]);
  expect([flow.readers(0, "a"), flow.readers(3, "a"), flow.readers(1, "b")]).toEqual([[1, 2], [4], []]);
  expect([flow.readers(5, cacheOf(0)), flow.readers(6, cacheOf(1))]).toEqual([[7], []]);
});

test("what must run later: readers, what overwrites what was read, what overwrites what was written", () => {
  const flow = new Dataflow([linear("x", "a"), linear("a", "b"), linear("x", "a"), attention(0), append(0)]);
  expect([0, 1, 2, 3, 4].map((i) => [...flow.after(i)].sort())).toEqual([[1, 2], [2], [], [4], []]);
});

test("the logits run last, whatever they read", () => {
  const logits: Op = { role: "logits", input: "x", weight: "w" };
  const flow = new Dataflow([linear("x", "a"), linear("x", "b"), logits]);
  expect([0, 1].map((i) => [...flow.after(i)])).toEqual([[2], [2]]);
});

test("ops are joined unless one outside would have to run between them", () => {
  const clusters = new Clusters(
    new Dataflow([linear("x", "a"), linear("a", "b"), linear("b", "c"), linear("x", "d")]),
  );
  expect(clusters.join([0, 2])).toBeUndefined();
  expect([0, 1, 2].map((op) => clusters.isSingle(op))).toEqual([true, true, true]);
  expect(clusters.join([1, 2])).toBe(1);
  expect(clusters.join([0, 3])).toBe(0);
  expect([0, 1, 2, 3].map((op) => clusters.of(op))).toEqual([0, 1, 1, 0]);
  expect(clusters.isSingle(3)).toBe(false);
  expect(clusters.inOrder()).toEqual([0, 1]);
  expect(clusters.join([0, 1])).toBe(0);
});

test("a chain that comes back over clusters of later ops is found", () => {
  const flow = new Dataflow([
    linear("x", "a"),
    linear("x", "b"),
    linear("b", "c"),
    linear("y", "d"),
    linear("a", "e"),
    linear("e", "f"),
  ]);
  const clusters = new Clusters(flow);
  expect(clusters.join([1, 5])).toBe(1);
  expect(clusters.join([3, 4])).toBe(3);
  // 0 → 4, which runs with 3; 4 → 5, which runs with 1; 1 → 2.
  expect(clusters.join([0, 2])).toBeUndefined();
});

test("clusters run in an order that their ops allow, the first of them first", () => {
  const flow = new Dataflow([
    linear("x", "a"),
    linear("y", "b"),
    linear("b", "c"),
    linear("c", "d"),
    linear("a", "e"),
  ]);
  const clusters = new Clusters(flow);
  expect(clusters.join([0, 3])).toBe(0);
  expect(clusters.inOrder()).toEqual([1, 2, 0, 4]);
});
