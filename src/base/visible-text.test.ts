import { expect, test } from "vitest";
import { visibleText } from "./visible-text.ts";

test("control characters are written out; lines, tabs and other characters stay", () => {
  expect(visibleText("a\u001b]0;x\u0007\u001b[2Jb")).toBe("a\\x1b]0;x\\x07\\x1b[2Jb");
  expect(visibleText("one\n\ttwo\r\n\u009b\u007f")).toBe("one\n\ttwo\\x0d\n\\x9b\\x7f");
  expect(visibleText("\u202eabc\u2066\u2028")).toBe("\\u202eabc\\u2066\\u2028");
  expect(visibleText("é 漢 🙂 …")).toBe("é 漢 🙂 …");
});
