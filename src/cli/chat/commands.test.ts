/** Tests of what is entered: messages, commands, mistakes, and messages of several lines. */
import { expect, test } from "vitest";
import { CHAT_COMMANDS, completions, helpText, readEntry } from "./commands.ts";
import { MultiLine } from "./multi-line.ts";

test.each([
  ["  ", { kind: "nothing" }],
  ["hello /help", { kind: "message", text: "hello /help" }],
  ["//help is a command", { kind: "message", text: "/help is a command" }],
  ["/help", { kind: "command", name: "help", argument: "" }],
  ["  /SET temperature 0.5 ", { kind: "command", name: "set", argument: "temperature 0.5" }],
  ["/system two\nlines", { kind: "command", name: "system", argument: "two\nlines" }],
  ["/exit", { kind: "command", name: "quit", argument: "" }],
  ["/sytem x", { kind: "mistake", message: 'There is no command "/sytem". Did you mean /system?' }],
  ["/save", { kind: "mistake", message: "/save needs FILE behind it." }],
  ["/constructor", { kind: "mistake", message: expect.stringContaining("There is no command") as string }],
])("%j", (text, entry) => {
  expect(readEntry(text)).toEqual(entry);
});

test("help names every command, and the Tab key ends them", () => {
  for (const name of Object.keys(CHAT_COMMANDS)) {
    expect(helpText()).toContain(`/${name}`);
  }
  expect(completions("/s")).toEqual(["/system", "/set", "/save"]);
  expect(completions("s")).toEqual([]);
});

/** What comes of lines; undefined while a message goes on. */
function lines(...given: (string | readonly [pasted: string])[]): (string | undefined)[] {
  const multi = new MultiLine();
  return given.map((line) => (typeof line === "string" ? multi.push(line) : multi.push(line[0], true)));
}

test.each([
  ["a line", ["a"], ["a"]],
  ["a backslash", ["a\\", "b\\", "c"], [undefined, undefined, "a\nb\nc"]],
  ["quotes", ['"""a', "", 'b"""', "c"], [undefined, undefined, "a\n\nb", "c"]],
  ["quotes on lines of their own", ['"""', "a\\", '"""'], [undefined, undefined, "a\\\n"]],
  ["quotes on one line", ['"""a"""'], ["a"]],
  ["quotes within a message", ["a\\", '"""b'], [undefined, 'a\n"""b']],
  ["a paste", [["a"], ["b"], "c"], [undefined, undefined, "a\nb\nc"]],
  ["a paste with a backslash", [["a\\"], "b"], [undefined, "a\\\nb"]],
])("%s", (_name, given, expected) => {
  expect(lines(...(given as (string | [string])[]))).toEqual(expected);
});

test("what has begun is given up", () => {
  const multi = new MultiLine();
  multi.push('"""a');
  expect(multi.hasBegun).toBe(true);
  multi.clear();
  expect(multi.hasBegun).toBe(false);
  expect(multi.push("b")).toBe("b");
});
