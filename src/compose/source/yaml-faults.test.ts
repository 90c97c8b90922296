import { describe, expect, test } from "vitest";
import { loadFailure } from "../../../test/support/compose.ts";

const INDENTED =
  /this line is not indented like the lines that it belongs to\.[^]*the same number of spaces\./;

/** The one problem of a text: its place as line:column, and the text from there on. */
function fault(text: string): { place: string; message: string } {
  const { problems, message } = loadFailure(text);
  expect(problems.length, message).toBe(1);
  const [, place = "", rest = ""] = /^[^:]+:(\d+:\d+): ([^]*)$/.exec(message) ?? [];
  return { place, message: rest };
}

describe("a slip in YAML is told once, where it is, and with what to do", () => {
  test.each<[string, string, string, RegExp]>([
    ["a line too far in", "component:\n  type: model\n   task: x\n", "3:4", INDENTED],
    ["a line too far out", "component:\n    type: model\n  task: x\n", "3:3", INDENTED],
    ["a line between", "component:\n  type: model\n task: x\n", "3:2", INDENTED],
    ["an item too far out", "a:\n  - x\n - y\n", "3:2", INDENTED],
    ["a key beside a list", "- a\nb: 1\n", "2:1", INDENTED],
    ["a text block that ends", "a: |\n    x\n  y\n", "3:3", INDENTED],
    ["a tab", "component:\n\ttype: model\n", "2:2", /a tab indents this line\.[^]*Indent with spaces\./],
    [
      "a second colon",
      "text: Question: what\n",
      "1:7",
      /has a colon and a space in it[^]*whole value into quotes/,
    ],
    ["no space behind a colon", "a:1\nb: 2\n", "1:1", /no space behind the colon/],
    ["no space behind a dash", "-a\nb: 1\n", "1:1", /no space behind the dash/],
    ["a word without a colon", "a:\n  b: 1\n  word\n  c: 2\n", "3:3", /neither a key with a colon nor part/],
    [
      "an open double quote",
      'a: 1\nb: "x\nc: 2\n',
      "2:4",
      /begins with " does not end\.[^]*Close it with "\./,
    ],
    ["an open single quote", "a: 'x\nb: 2\n", "1:4", /begins with ' does not end/],
    ["an apostrophe in quotes", "a: 'it's'\nb: 2\n", "1:8", /behind the end of a value[^]*double a '/],
    ["an open brace", "a: { b: 1\nd: 3\n", "2:1", /the \{ above is not closed\.[^]*Close it with \}/],
    ["an open bracket", "a: [1, 2\nd: 3\n", "2:1", /the \[ above is not closed\.[^]*Close it with \]/],
    ["a bracket too many", "a: ]\n", "1:4", /there is a \] too many/],
    ["a comma too many", "a: [1,,2]\n", "1:7", /there is a , too many/],
    ["a reserved character", "a: @x\n", "1:4", /a value cannot begin with @ in YAML/],
    ["an escape", 'a: "\\q"\n', "1:5", /\\q is no escape[^]*Write \\\\ for a backslash/],
    ["a comment without a space", 'a: "x"#c\n', "1:7", /no space before this #/],
    ["a tag", "a: !foo 1\n", "1:4", /the tag !foo is unknown here\.[^]*Remove the tag\./],
    ["two documents", "a: 1\n---\nb: 2\n", "2:1", /a second document begins here/],
    ["text behind |", "a: |x\n  t\n", "1:5", /begins in the line below \| or >/],
    ["a bare &", "a: & b\n", "1:4", /& and \* name and repeat values/],
    ["a version nobody knows", "%YAML 3.0\na: 1\n", "1:7", /begins with % tells YAML's version/],
  ])("%s", (_name, text, place, message) => {
    const found = fault(text);
    expect(found.place).toBe(place);
    expect(found.message).toMatch(message);
    // The parser's own words are about its tokens.
    expect(found.message).not.toMatch(/implicit|mapping items|scalar|token|flow|compact/i);
  });

  test("slips that do not follow from each other are told at once", () => {
    expect(loadFailure('a: "\\q"\nb: !foo 1\nc: "\\z"\n').problems).toHaveLength(3);
  });
});
