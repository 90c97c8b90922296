import { expect, test } from "vitest";
import { MemoryStorage } from "../../../test/support/memory-storage.ts";
import { History, type HistoryEntry } from "./history.ts";

let clock = 0;

function entry(id: string, more: Partial<HistoryEntry> = {}): HistoryEntry {
  clock += 1;
  return { id, workflow: "w", at: clock, fields: { prompt: id }, status: "completed", ...more };
}

const ids = (history: History, workflow = "w", search = ""): string[] =>
  history.of(workflow, search).map(({ id }) => id);

test("newest first, each workflow its own, and still there after a reload", () => {
  const kept = new MemoryStorage();
  const history = new History(kept, new MemoryStorage());
  history.put(entry("a"));
  history.put(entry("b", { workflow: "v" }));
  const running = entry("c", { status: "running" });
  history.put(running);
  history.put({ ...running, status: "completed", output: "text" });
  expect(ids(history)).toEqual(["c", "a"]);
  const again = new History(kept, new MemoryStorage());
  expect(again.of("w")[0]).toMatchObject({ status: "completed", output: "text" });
  expect(ids(again, "v")).toEqual(["b"]);
});

test("other tabs know what has ended, not what still runs", () => {
  const kept = new MemoryStorage();
  const [one, other] = [new History(kept, new MemoryStorage()), new History(kept, new MemoryStorage())];
  const running = entry("a", { status: "running" });
  one.put(running);
  expect([ids(one), ids(other)]).toEqual([["a"], []]);
  other.put(entry("b"));
  one.put({ ...running, status: "failed", error: "No." });
  expect([ids(one), ids(other)]).toEqual([
    ["b", "a"],
    ["b", "a"],
  ]);
});

test("it is found by words of what was given, and of what came of it", () => {
  const history = new History(new MemoryStorage(), new MemoryStorage());
  history.put(entry("a", { output: { text: "A Dog" } }));
  history.put(entry("b", { status: "failed", error: "no dog" }));
  history.put(entry("c"));
  expect(ids(history, "w", "dog")).toEqual(["b", "a"]);
  expect(ids(history, "w", "dog a text")).toEqual(["a"]);
  expect(ids(history, "w", "cat")).toEqual([]);
});

test("it is bounded in number, and by the room of the browser", () => {
  const many = new History(new MemoryStorage(), new MemoryStorage());
  for (let i = 0; i < 210; i++) {
    many.put(entry(String(i)));
  }
  expect(ids(many)).toHaveLength(200);
  expect(ids(many)[0]).toBe("209");
  const place = new MemoryStorage(3000);
  const large = new History(place, new MemoryStorage());
  for (let i = 0; i < 10; i++) {
    large.put(entry(String(i), { output: "x".repeat(500) }));
  }
  expect(place.size).toBeGreaterThan(500);
  const before = ids(new History(place, new MemoryStorage()));
  expect(before[0]).toBe("9");
  // One that the browser has no room for pushes nothing out, and stays as long as the page.
  large.put(entry("whale", { output: "x".repeat(5000) }));
  expect(ids(new History(place, new MemoryStorage()))).toEqual(before);
  expect(ids(large)[0]).toBe("whale");
  // Nor is it there twice where an older form of it had room.
  const grows = entry("grows");
  large.put(grows);
  large.put({ ...grows, output: "x".repeat(5000) });
  expect(ids(large).filter((id) => id === "grows")).toEqual(["grows"]);
  expect(large.of("w")[0]?.output).toHaveLength(5000);
});

test("tokens are kept, and make room before runs do", () => {
  const tokens = [[["a", -0.5, [["b", -1]]]]] as const;
  const many = [Array.from({ length: 30 }, () => tokens[0][0])];
  const place = new MemoryStorage(2500);
  const history = new History(place, new MemoryStorage());
  history.put(entry("a", { tokens }));
  const again = (): History => new History(place, new MemoryStorage());
  expect(again().of("w")[0]?.tokens).toEqual(tokens);
  for (const id of ["b", "c", "d", "e"]) {
    history.put(entry(id, { tokens: many }));
  }
  expect(ids(again())).toEqual(["e", "d", "c", "b", "a"]);
  expect(again().of("w")[0]?.tokens).toEqual(many);
  expect(again().of("w")[2]?.tokens).toBeUndefined();
  // Those of the newest alone may be too many.
  history.put(entry("f", { tokens: [...many, ...many, ...many, ...many, ...many] }));
  expect(ids(again())).toEqual(["f", "e", "d", "c", "b", "a"]);
  expect(again().of("w")[0]?.tokens).toBeUndefined();
});

test("clearing leaves what still runs", () => {
  const history = new History(new MemoryStorage(), new MemoryStorage());
  history.put(entry("a"));
  history.put(entry("b", { status: "running" }));
  history.put(entry("c", { workflow: "v" }));
  history.clear("w");
  expect(ids(history)).toEqual(["b"]);
  expect(ids(history, "v")).toEqual(["c"]);
});

test("a file of it is added to another workflow, each run once; what is none is refused with its place", () => {
  const history = new History(new MemoryStorage(), new MemoryStorage());
  history.put(entry("a", { facts: { ended: "eos", seeds: [7] } }));
  history.put(entry("b", { status: "running" }));
  const file = history.export("w");
  const other = new History(new MemoryStorage(), new MemoryStorage());
  expect(other.import("v", file)).toBe(1);
  expect(other.import("v", file)).toBe(0);
  expect(other.of("v")).toMatchObject([{ id: "a", workflow: "v", facts: { ended: "eos", seeds: [7] } }]);
  expect(() => other.import("v", "[]")).toThrow(/^The file is not a history of runs: /);
  const wrong = JSON.stringify({ version: 1, runs: [{ ...entry("c"), at: "now" }] });
  expect(() => other.import("v", wrong)).toThrow(/: runs\[0\]\.at: Invalid input: expected number/);
});

test("what somebody else left there is passed over", () => {
  const kept = new MemoryStorage();
  kept.setItem("model-compose.runs", "{not json");
  expect(ids(new History(kept, new MemoryStorage()))).toEqual([]);
  kept.setItem("model-compose.runs", JSON.stringify([{ id: 1 }, entry("a")]));
  expect(ids(new History(kept, new MemoryStorage()))).toEqual(["a"]);
});
