import { describe, expect, test } from "vitest";
import { markdownBlocks, type MarkdownNode } from "./markdown.ts";

/** The tree in one line: `p(a strong(b))`; attributes in brackets. */
function line(nodes: readonly MarkdownNode[]): string {
  return nodes
    .map((node) => {
      if (node.kind === "text") {
        return node.text;
      }
      if (node.kind === "code") {
        return `CODE[${node.language}](${node.text})`;
      }
      const attributes = node.attributes === undefined ? "" : JSON.stringify(node.attributes);
      return `${node.tag}${attributes}(${line(node.children)})`;
    })
    .join("");
}

function tree(text: string): string {
  return markdownBlocks(text)
    .map(({ nodes }) => line(nodes))
    .join(" | ");
}

describe("what models write", () => {
  test.each([
    ["a **b** _c_ ~~d~~ `e<f`", "p(a strong(b) em(c) del(d) code(e<f))"],
    ["# One\n\n### Three\n\n###### Six", "h4(One) | h6(Three) | h6(Six)"],
    ["```TypeScript x\nlet a;\n```", "CODE[typescript](let a;)"],
    ["    indented", "CODE[](indented)"],
    ["- a\n- **b**\n  - c", "ul(li(a)li(strong(b)ul(li(c))))"],
    ["3. a\n4. b", 'ol{"start":"3"}(li(a)li(b))'],
    ["1. a", "ol(li(a))"],
    ["- a\n\n- b", "ul(li(p(a))li(p(b)))"],
    ["- [x] done\n- [ ] not", "ul(li(☑ done)li(☐ not))"],
    ["> a\n> - b", "blockquote(p(a)ul(li(b)))"],
    ["a  \nb\n\n---", "p(abr()b) | hr()"],
    [
      "| a | b |\n|---|--:|\n| 1 | *2* |",
      'table(thead(tr(th(a)th{"data-align":"right"}(b)))tbody(tr(td(1)td{"data-align":"right"}(em(2)))))',
    ],
    ["3 &lt; 4 &amp; &#8364; &nope; \\*", "p(3 < 4 & € &nope; *)"],
  ])("%j", (text, expected) => {
    expect(tree(text)).toBe(expected);
  });

  test("HTML is text", () => {
    expect(tree("<img src=x onerror=alert(1)>")).toBe("p(<img src=x onerror=alert(1)>)");
    expect(tree("a <b onclick=x>b</b>")).toBe("p(a <b onclick=x>b</b>)");
    expect(tree("&lt;b&gt; &amp;lt;")).toBe("p(<b> &lt;)");
  });

  test("links lead to the web or to somebody's mail; pictures are links", () => {
    expect(tree("[a](https://x.y/z) <mailto:a@b.c>")).toBe(
      'p(a{"href":"https://x.y/z"}(a) a{"href":"mailto:a@b.c"}(mailto:a@b.c))',
    );
    expect(tree("[a](http://x.y/?b&amp;c)")).toBe('p(a{"href":"http://x.y/?b&c"}(a))');
    expect(tree("![p](http://x.y/p.png)")).toBe('p(a{"href":"http://x.y/p.png"}(p))');
    for (const href of ["javascript:alert(1)", "data:text/html,x", "file:///etc", "/api/x", "https://["]) {
      expect(tree(`[a](${href})`)).toBe(`p(a (${href}))`);
    }
  });
});

test("of a text that grows, the blocks before the last stay the same", () => {
  const before = markdownBlocks("# A\n\nb\n\n- c");
  const after = markdownBlocks("# A\n\nb\n\n- c\n- d");
  expect(after.slice(0, 2)).toEqual(before.slice(0, 2));
  expect(after[2]?.raw).not.toBe(before[2]?.raw);
});
