import { afterEach, describe, expect, test } from "vitest";
import { GrammarThread } from "./grammar-thread.ts";
import { isAllowed } from "./matcher.ts";

const threads: GrammarThread[] = [];

/** A thread for tokens that are bytes, the last of which has none. */
function start(): GrammarThread {
  const thread = new GrammarThread(257, (token) => (token < 256 ? Uint8Array.of(token) : undefined));
  threads.push(thread);
  return thread;
}

afterEach(() => Promise.all(threads.splice(0).map((thread) => thread.dispose())));

const choice = (...texts: string[]): { kind: "choice"; texts: string[] } => ({ kind: "choice", texts });
const code = (character: string): number => character.codePointAt(0) ?? 0;

describe("a text that a thread follows", () => {
  test("is told what may come next, and whether it may and must end", async () => {
    const form = await start().form(choice("ab", "abc"));
    const text = form.follow();
    const seen: unknown[] = [];
    for (const character of "abc") {
      const mask = await text.mask();
      const allowed = Array.from({ length: 257 }, (_, token) => token).filter((token) =>
        isAllowed(mask, token),
      );
      seen.push([allowed, await text.ending()]);
      text.accept(code(character));
    }
    expect(seen).toEqual([
      [[code("a")], { mayEnd: false, mustEnd: false }],
      [[code("b")], { mayEnd: false, mustEnd: false }],
      [[code("c")], { mayEnd: true, mustEnd: false }],
    ]);
    expect(await text.ending()).toEqual({ mayEnd: true, mustEnd: true });
    expect((await text.mask()).every((word) => word === 0)).toBe(true);
    text.leave();
  });

  test("goes its own way beside others, of the same form and of another", async () => {
    const thread = start();
    const form = await thread.form(choice("ax", "by"));
    const other = (await thread.form(choice("cz"))).follow();
    const [first, second] = [form.follow(), form.follow()];
    first.accept(code("a"));
    second.accept(code("b"));
    other.accept(code("c"));
    const next = await Promise.all([first, second, other].map((text) => text.mask()));
    const allowed = next.map((mask) => [..."xyz"].filter((character) => isAllowed(mask, code(character))));
    expect(allowed).toEqual([["x"], ["y"], ["z"]]);
  });

  test("fails at a token that may not come", async () => {
    const text = (await start().form(choice("a"))).follow();
    text.accept(code("b"));
    await expect(text.mask()).rejects.toThrow("The token 98 is not what the grammar allows here");
    await expect(text.ending()).rejects.toMatchObject({ code: "invalid-argument" });
  });
});

describe("the thread", () => {
  test("tells why a form is none, and goes on", async () => {
    const thread = start();
    const wrong = thread.form({ kind: "json", schema: { type: "array", uniqueItems: true } });
    await expect(wrong).rejects.toMatchObject({
      code: "unsupported",
      parameter: "jsonSchema",
      message: expect.stringContaining('"uniqueItems" at the root') as string,
    });
    expect(await (await thread.form(choice("a"))).follow().ending()).toMatchObject({ mayEnd: false });
  });

  test("refuses a vocabulary without some byte, as ever", async () => {
    const thread = new GrammarThread(256, (token) => (token === 0x41 ? undefined : Uint8Array.of(token)));
    threads.push(thread);
    await expect(thread.form(choice("a"))).rejects.toThrow("no token for the byte 0x41 alone");
  });

  test("is left by who does not wait any longer", async () => {
    const stop = new AbortController();
    const form = start().form(choice("a"), stop.signal);
    stop.abort();
    await expect(form).rejects.toMatchObject({ code: "aborted" });
  });

  test("fails its texts when it ends, and does not start again for a model that is gone", async () => {
    const thread = start();
    const form = await thread.form(choice("ab"));
    const text = form.follow();
    await text.mask();
    text.accept(code("a"));
    await thread.dispose();
    // The answer may have been on its way.
    await text.mask().catch(() => undefined);
    text.accept(code("b"));
    await expect(form.follow().mask()).rejects.toMatchObject({ code: "device" });
    await expect(thread.form(choice("a"))).rejects.toMatchObject({ code: "disposed" });
  });
});
