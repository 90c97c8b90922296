import { expect, test } from "vitest";
import type { RunEvent } from "../compose/run/events.ts";
import { EventLog } from "./event-log.ts";

const text = (generation: number, of: string): RunEvent => ({
  type: "text",
  generation,
  text: of,
  tokens: 1,
});
const prefill = (done: number): RunEvent => ({ type: "prefill", generation: 0, done, total: 9 });

test("what a reader missed comes as one piece for each text, in the order of the rest", async () => {
  const log = new EventLog();
  log.append({ type: "run-started", taskId: "t", workflow: "w" });
  log.append(text(0, "a"));
  log.append(text(1, "x"));
  log.append(text(0, "b"));
  log.append({ type: "output", value: "1" });
  log.append({ type: "output", value: "2" });
  log.append({ type: "output", value: { n: 3 } });
  log.append({ type: "output", value: "4" });
  log.append({ type: "generation-ended", generation: 0 });
  const reader = log.read();
  expect((await reader.next()).value).toEqual([
    { type: "run-started", taskId: "t", workflow: "w" },
    { type: "text", generation: 0, text: "ab", tokens: 2 },
    text(1, "x"),
    { type: "output", value: "12" },
    { type: "output", value: { n: 3 } },
    { type: "output", value: "4" },
    { type: "generation-ended", generation: 0 },
  ]);
  const next = reader.next();
  log.append(text(1, "y"));
  expect((await next).value).toEqual([text(1, "y")]);
  log.end();
  expect(await reader.next()).toEqual({ done: false, value: [] });
  expect(await reader.next()).toEqual({ done: true, value: undefined });
});

test("outputs of jobs are kept by the run, not by the log", async () => {
  const log = new EventLog();
  const ended = { type: "job-ended", path: ["j"], repeat: 0, outcome: "completed", output: "x".repeat(1000) };
  log.append(ended as unknown as RunEvent);
  expect((await log.read().next()).value).toEqual([{ ...ended, output: undefined }]);
});

test("reasoning does not become part of the answer behind it", async () => {
  const log = new EventLog();
  const thought: RunEvent = { type: "text", generation: 0, text: "hm", tokens: 1, kind: "reasoning" };
  for (const event of [thought, thought, text(0, "a"), text(0, "b")]) {
    log.append(event);
  }
  expect((await log.read().next()).value).toEqual([
    { ...thought, text: "hmhm", tokens: 2 },
    { type: "text", generation: 0, text: "ab", tokens: 2 },
  ]);
});

test("of progress, a reader gets the latest, once, and none that has been overtaken", async () => {
  const log = new EventLog();
  log.append(prefill(1));
  log.append(prefill(2));
  const reader = log.read();
  expect((await reader.next()).value).toEqual([prefill(2)]);
  log.append(prefill(3));
  log.append(text(0, "a"));
  expect((await reader.next()).value).toEqual([text(0, "a")]);
});

test("a reader that leaves stops waiting", async () => {
  const log = new EventLog();
  const leave = new AbortController();
  const reader = log.read(leave.signal);
  await reader.next();
  const waiting = reader.next();
  leave.abort();
  expect(await waiting).toEqual({ done: true, value: undefined });
});
