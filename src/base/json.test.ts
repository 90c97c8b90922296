import { describe, expect, it } from "vitest";
import { describeJson, parseJsonObject } from "./json.ts";

const parse = (text: string | Uint8Array): unknown =>
  parseJsonObject(typeof text === "string" ? new TextEncoder().encode(text) : text, {
    name: "file.json",
    code: "invalid-config",
    remedy: "Fix it.",
  });

describe("parseJsonObject", () => {
  it("parses what JSON.parse parses", () => {
    const text = '{"a": [1, {"a": "é\\u0041"}], "b": null, "__proto__": {"a": 1}}';
    expect(JSON.stringify(parse(text))).toBe(JSON.stringify(JSON.parse(text)));
  });

  it.each([
    ['{"a": 1,}', "cannot be parsed as JSON"],
    ['{"a": 1} // comment', "cannot be parsed as JSON"],
    ["", "cannot be parsed as JSON"],
    ["[1]", "holds [1]; expected a JSON object"],
    ['{"a": 1, "b": {}, "a": 2}', 'has the key "a" twice (line 1, column 19)'],
    ['{"x":\n  {"b": 1,\n   "b": 1}}', 'has the key "b" twice (line 3, column 4)'],
    ['{"a": 1, "\\u0061": 2}', 'has the key "a" twice'],
    [Uint8Array.of(0x7b, 0xff, 0x7d), "is not valid UTF-8"],
  ])("refuses %j", (text, message) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({
        code: "invalid-config",
        message: expect.stringContaining(message) as string,
      }),
    );
    expect(() => parse(text)).toThrow(/^file\.json .* Fix it\.$/s);
  });

  it("refuses hostile nesting with its own error", () => {
    const text = `{"a": ${"[".repeat(1e6)}${"]".repeat(1e6)}}`;
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: "invalid-config" }));
  });

  it("allows one key in two objects", () => {
    expect(parse('{"a": {"k": 1}, "b": {"k": 2}}')).toEqual({ a: { k: 1 }, b: { k: 2 } });
  });
});

describe("describeJson", () => {
  it("quotes short values and summarises long ones", () => {
    expect(describeJson("x")).toBe('"x"');
    expect(describeJson(10n)).toBe("the bigint 10");
    expect(describeJson(() => 1)).toBe("a function");
    expect(describeJson(Symbol("x"))).toBe("a symbol");
    const cycle: Record<string, unknown> = {};
    cycle["self"] = cycle;
    expect(describeJson(cycle)).toBe("an object");
    expect(describeJson([cycle])).toBe("a list of 1");
    expect(describeJson(undefined)).toBe("nothing");
    expect(describeJson(Array.from({ length: 100 }, () => 1))).toBe("a list of 100");
    expect(describeJson("x".repeat(100))).toBe("a string of 100 characters");
    expect(describeJson({ x: "x".repeat(100) })).toBe("an object");
  });
});
