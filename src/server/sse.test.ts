import fc from "fast-check";
import { createParser } from "eventsource-parser";
import { expect, test } from "vitest";
import { sseEvent, streamBody } from "./sse.ts";

function parsed(text: string): { event?: string; data: string }[] {
  const events: { event?: string; data: string }[] = [];
  createParser({ onEvent: ({ event, data }) => events.push({ event, data }) }).feed(text);
  return events;
}

test("any text comes through whole, but for the kind of its line ends", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.string(), fc.constantFrom("\n", "\r", "\r\n", " a", "data: x\n\n", ":"))),
      (parts) => {
        const text = parts.join("");
        const [first, second] = parsed(sseEvent(text) + sseEvent("{}", "usage"));
        expect(first).toEqual({ event: undefined, data: text.replace(/\r\n?/g, "\n") });
        expect(second).toEqual({ event: "usage", data: "{}" });
      },
    ),
  );
});

test("a chunk is made when there is room for it, and who leaves is noticed", async () => {
  let made = 0;
  async function* chunks(): AsyncGenerator<string, void> {
    for (;;) {
      made += 1;
      yield await Promise.resolve("x");
    }
  }
  const left = new AbortController();
  const reader = streamBody(chunks(), { heartbeatSeconds: 60, left }).getReader();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(made).toBe(0);
  await reader.read();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(made).toBe(1);
  await reader.cancel();
  expect(left.signal.aborted).toBe(true);
});
