/** Tests of the line editor with streams in the place of a terminal. */
import { PassThrough } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { AbortError } from "../../base/errors.ts";
import { LineEditor } from "./line-editor.ts";

const editors: LineEditor[] = [];
afterEach(() => editors.splice(0).forEach((editor) => editor.close()));

function start(history: readonly string[] = [], signal = new AbortController().signal) {
  const input = new PassThrough();
  const output = new PassThrough();
  const editor = new LineEditor({ input, output, history, complete: () => ["/help"], signal });
  editors.push(editor);
  return {
    editor,
    /** What is on the screen so far. */
    screen: () => String((output.read() as Buffer | null) ?? ""),
    press: async (keys: string) => {
      input.write(keys);
      await turn();
    },
  };
}

test("a line is a message; what is pasted, or ends with a backslash, goes on", async () => {
  const { editor, press } = start();
  for (const [keys, text] of [
    ["hello\r", "hello"],
    ["a\\\rb\r", "a\nb"],
    ["\u001b[200~one\rtwo\rth\u001b[201~ree\r", "one\ntwo\nthree"],
    ['"""\rx\r"""\r', "x\n"],
  ] as const) {
    const read = editor.read("> ");
    await press(keys);
    expect(await read).toEqual({ kind: "text", text });
  }
});

test("keys that are pressed while nobody reads are shown and taken when somebody does", async () => {
  const { editor, press, screen } = start();
  screen();
  await press("early\rlat");
  expect(screen()).toBe("");
  expect(await editor.read("> ")).toEqual({ kind: "text", text: "early" });
  const read = editor.read("> ");
  await press("e\r");
  expect(await read).toEqual({ kind: "text", text: "late" });
  expect(screen()).toContain("> lat");
});

test("Ctrl-C takes back what was written, and goes to whoever answers while it does", async () => {
  const { editor, press } = start();
  let read = editor.read("> ");
  await press("ab\\\rc\u0003");
  expect(await read).toEqual({ kind: "interrupt", hadText: true });
  read = editor.read("> ");
  await press("\u0003");
  expect(await read).toEqual({ kind: "interrupt", hadText: false });
  let interrupts = 0;
  editor.onInterrupt = () => (interrupts += 1);
  await press("\u0003\u0003");
  expect(interrupts).toBe(2);
  editor.onInterrupt = undefined;
  read = editor.read("> ");
  await press("d\r");
  expect(await read).toEqual({ kind: "text", text: "d" });
});

test("Ctrl-D ends, and a signal stops waiting", async () => {
  const { editor, press } = start();
  const read = editor.read("> ");
  await press("\u0004");
  expect(await read).toEqual({ kind: "end" });
  const stop = new AbortController();
  const other = start([], stop.signal);
  const waiting = other.editor.read("> ");
  stop.abort();
  await expect(waiting).rejects.toBeInstanceOf(AbortError);
});

test("Ctrl-R goes back through the lines that contain what is written", async () => {
  const { editor, press } = start(["a fox", "a bear", "the fox ran"]);
  const lines = async (keys: string) => {
    const read = editor.read("> ");
    await press(`${keys}\r`);
    return read;
  };
  expect(await lines("fox\u0012")).toEqual({ kind: "text", text: "a fox" });
  expect(await lines("fox\u0012\u0012")).toEqual({ kind: "text", text: "the fox ran" });
  expect(await lines("wolf\u0012")).toEqual({ kind: "text", text: "wolf" });
  expect(editor.history.slice(0, 2)).toEqual(["wolf", "the fox ran"]);
});
