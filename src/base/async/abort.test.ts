import { expect, test } from "vitest";
import { AbortError } from "../errors.ts";
import { withAbort } from "./abort.ts";

test("a value, a failure or the signal: whichever comes first", async () => {
  expect(await withAbort(Promise.resolve(1), undefined)).toBe(1);
  expect(await withAbort(Promise.resolve(2), new AbortController().signal)).toBe(2);
  await expect(withAbort(Promise.reject(new Error("no")), new AbortController().signal)).rejects.toThrow(
    "no",
  );
  const abort = new AbortController();
  const waiting = withAbort(new Promise(() => undefined), abort.signal);
  abort.abort(new Error("enough"));
  await expect(waiting).rejects.toMatchObject({ code: "aborted", cause: new Error("enough") });
});

test("a wait that was given up before it began may still fail", async () => {
  const wait = new Promise((_, reject) => setTimeout(reject, 1, new Error("too late to matter")));
  await expect(withAbort(wait, AbortSignal.abort())).rejects.toThrow(AbortError);
  await new Promise((resolve) => setTimeout(resolve, 5)); // an unhandled rejection would fail the run
});
