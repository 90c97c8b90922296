import { expect, test } from "vitest";
import { History, type HistoryEntry, type HistoryStorage } from "./history.ts";

/** A storage as sessionStorage is, with room for so many characters. */
function storage(room = Infinity): HistoryStorage & { readonly size: () => number } {
  const items = new Map<string, string>();
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => {
      if (value.length > room) {
        throw new DOMException("full", "QuotaExceededError");
      }
      items.set(key, value);
    },
    removeItem: (key) => void items.delete(key),
    size: () => [...items.values()].join("").length,
  };
}

function entry(id: string, more: Partial<HistoryEntry> = {}): HistoryEntry {
  return { id, workflow: "w", at: 0, fields: { prompt: id }, status: "completed", ...more };
}

const ids = (history: History, workflow = "w"): string[] => history.of(workflow).map(({ id }) => id);

test("newest first, each workflow its own, and still there after a reload", () => {
  const place = storage();
  const history = new History(place);
  history.put(entry("a"));
  history.put(entry("b", { workflow: "v" }));
  history.put(entry("c", { status: "running" }));
  history.put(entry("c", { output: "text" }));
  expect(ids(history)).toEqual(["c", "a"]);
  const again = new History(place);
  expect(again.of("w")[0]).toMatchObject({ status: "completed", output: "text" });
  expect(ids(again, "v")).toEqual(["b"]);
});

test("it is bounded in number, and by the room of the browser", () => {
  const many = new History(storage());
  for (let i = 0; i < 60; i++) {
    many.put(entry(String(i)));
  }
  expect(ids(many)).toHaveLength(50);
  expect(ids(many)[0]).toBe("59");
  const place = storage(3000);
  const large = new History(place);
  for (let i = 0; i < 10; i++) {
    large.put(entry(String(i), { output: "x".repeat(500) }));
  }
  expect(place.size()).toBeGreaterThan(500);
  expect(ids(new History(place))[0]).toBe("9");
  large.put(entry("whale", { output: "x".repeat(5000) }));
  expect(ids(new History(place))).toEqual([]);
  expect(ids(large)[0]).toBe("whale");
});

test("clearing leaves what still runs", () => {
  const history = new History(storage());
  history.put(entry("a"));
  history.put(entry("b", { status: "running" }));
  history.put(entry("c", { workflow: "v" }));
  history.clear("w");
  expect(ids(history)).toEqual(["b"]);
  expect(ids(history, "v")).toEqual(["c"]);
});

test("what somebody else left there is passed over", () => {
  const place = storage();
  place.setItem("model-compose.history", "{not json");
  expect(ids(new History(place))).toEqual([]);
});
