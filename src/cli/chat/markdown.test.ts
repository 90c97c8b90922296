/** Tests of Markdown on a terminal, with and without colours. */
import { expect, test } from "vitest";
import { cutMarkdown, renderMarkdown } from "./markdown.ts";

function plain(markdown: string, width = 60): string {
  return renderMarkdown(markdown, { width, colors: false });
}

test.each([
  ["a paragraph", "one **two** *three* `four`\n", "one two three four"],
  ["paragraphs", "a\n\nb", "a\n\nb"],
  ["a heading", "## Title\ntext", "Title\n\ntext"],
  ["code", "```js\nif (a) {\n  b();\n}\n```", "    js\n    if (a) {\n      b();\n    }"],
  ["code that has not ended", "```js\nif (a", "    js\n    if (a"],
  ["a list", "- a\n- b\n  - c", "• a\n• b\n  • c"],
  ["a numbered list", "9. a\n10. b", " 9. a\n10. b"],
  ["a loose list", "- a\n\n- b", "• a\n\n• b"],
  ["tasks", "- [ ] a\n- [x] b", "• [ ] a\n• [x] b"],
  ["a quote", "> a\n> b", "│ a\n│ b"],
  ["a link", "[text](http://x.y) <http://z.y>", "text (http://x.y) http://z.y"],
  ["a rule", "a\n\n---", `a\n\n${"─".repeat(40)}`],
  ["HTML", "<b>x</b>", "<b>x</b>"],
  ["escapes", String.raw`\*a\* &amp;`, "*a* &amp;"],
  ["a table", "| a | bb |\n|---|---:|\n| ccc | d |", "a   │ bb\n────┼───\nccc │  d"],
])("%s", (_name, markdown, shown) => {
  expect(plain(markdown)).toBe(shown);
});

test("lines are wrapped to the terminal, those of lists under themselves, and wide characters count twice", () => {
  expect(plain("aaaa bbbb cccc dddd eeee", 16)).toBe("aaaa bbbb cccc\ndddd eeee");
  expect(plain("- aaaa bbbb cccc dddd", 18)).toBe("• aaaa bbbb cccc\n  dddd");
  expect(plain("| a | b |\n|---|---|\n| 字字 | x |")).toBe("a    │ b\n─────┼──\n字字 │ x");
});

test("a table that is too wide gives way where it is widest", () => {
  const table = plain(`| a | b |\n|---|---|\n| x | ${"word ".repeat(10)}|`, 20);
  expect(Math.max(...table.split("\n").map((line) => line.length))).toBeLessThanOrEqual(20);
  expect(table).toContain("x │ word word word");
});

test("styles come with colours only, and what drives terminals is written out", () => {
  expect(renderMarkdown("**a** \u001b[2J", { width: 60, colors: true })).toBe(
    "\u001b[1ma\u001b[22m \\x1b[2J",
  );
  expect(plain("**a** \u001b[2J")).toBe("a \\x1b[2J");
});

test.each([
  ["a\n\nb", "a\n\n", "b"],
  ["a\n\n", "", "a\n\n"],
  ["a", "", "a"],
  ["", "", ""],
  ["a\n\n```\nx\n\ny", "a\n\n", "```\nx\n\ny"],
  ["- a\n- b\n\nc", "- a\n- b\n\n", "c"],
])("%j is whole up to its last block", (markdown, whole, open) => {
  expect(cutMarkdown(markdown)).toEqual({ whole, open });
});
