/** Tests of what stays on the screen of an answer. */
import { Writable } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { PlainView, TerminalView } from "./answer-view.ts";

class Screen extends Writable {
  readonly columns = 40;
  readonly rows = 10;
  readonly isTTY = true;
  written = "";

  override _write(text: Buffer, _encoding: unknown, done: () => void): void {
    this.written += text.toString();
    done();
  }
}

/** @returns the lines that stay, without what is shown anew in place */
async function show(
  pieces: readonly (string | { readonly thought: string })[],
  folds = true,
): Promise<string> {
  const screen = new Screen();
  const view = new TerminalView(screen, { colors: false, folds, begin: () => undefined });
  for (const piece of pieces) {
    if (typeof piece === "string") {
      await view.content(piece);
    } else {
      view.reasoning(piece.thought);
    }
  }
  await view.end();
  // What is erased goes back to the beginning of its first line.
  let lines: string[] = [""];
  for (const part of screen.written.split(/(\u001b\[[0-9;?]*[A-Za-z]|\n)/)) {
    if (part === "\n") {
      lines.push("");
    } else if (/^\u001b\[\d*A$/.test(part)) {
      lines = lines.slice(0, -Number(/\d+/.exec(part)?.[0] ?? 1));
      lines.push(lines.pop() ?? "");
    } else if (part === "\u001b[2K") {
      lines[lines.length - 1] = "";
    } else {
      lines[lines.length - 1] += stripVTControlCharacters(part);
    }
  }
  return lines.join("\n");
}

test("blocks stay as Markdown, each once, with a line between them", async () => {
  const text = await show(["on", "e **t", "wo**\n", "\n- a", "\n- b\n\n", "end"]);
  expect(text).toBe("one two\n\n• a\n• b\n\nend\n");
});

test("reasoning is folded to a line, or stays", async () => {
  const pieces = [{ thought: "well, " }, { thought: "hm" }, "yes"];
  expect(await show(pieces)).toBe("▸ thought, 2 words (/think shows them)\n\nyes\n");
  expect(await show(pieces, false)).toBe("well, hm\n\nyes\n");
  expect(await show([{ thought: "hm" }])).toBe("▸ thought, 1 words (/think shows them)\n");
});

test("a pipe has the answer as it is, and ends its last line", async () => {
  let written = "";
  const view = new PlainView((text) => {
    written += text;
    return Promise.resolve();
  });
  view.reasoning();
  for (const piece of ["**a", "**", ""]) {
    await view.content(piece);
  }
  await view.end();
  expect(written).toBe("**a**\n");
});
