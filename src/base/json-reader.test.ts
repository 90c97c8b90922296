import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JsonReader, JsonSyntaxFault } from "./json-reader.ts";

const readerOf = (text: string): JsonReader => new JsonReader(new TextEncoder().encode(text));

/** Builds the value that comes next, literals by their description. */
function build(reader: JsonReader): unknown {
  switch (reader.kind()) {
    case "object": {
      const entries: [string, unknown][] = [];
      reader.object((key) => entries.push([key, build(reader)]));
      return Object.fromEntries(entries);
    }
    case "list": {
      const list: unknown[] = [];
      reader.list(() => list.push(build(reader)));
      return list;
    }
    case "string":
      return reader.string();
    case "number":
      return reader.number();
    case "literal":
      return JSON.parse(reader.describe());
  }
}

function read(text: string): unknown {
  const reader = readerOf(text);
  const value = build(reader);
  reader.end();
  return value;
}

const skip = (text: string): void => {
  const reader = readerOf(text);
  reader.skip();
  reader.end();
};

/** What JSON.parse makes of a text, or that it refuses it. */
function reference(text: string): { value: unknown } | "refused" {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return "refused";
  }
}

describe("JsonReader", () => {
  it("reads what JSON.parse reads", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(read(text)).toEqual(JSON.parse(text));
        skip(text);
      }),
    );
  });

  it("refuses what JSON.parse refuses: a character more, less or another anywhere", () => {
    const edit = fc.record({
      text: fc.json({ maxDepth: 3 }),
      place: fc.nat(60),
      put: fc.constantFrom(
        "",
        ",",
        ":",
        "]",
        "}",
        "[",
        "{",
        '"',
        "\\",
        "0",
        "-",
        ".",
        "e",
        "x",
        " ",
        "\n",
        "\u00e9",
      ),
      cut: fc.nat(1),
    });
    fc.assert(
      fc.property(edit, ({ text, place, put, cut }) => {
        const edited = text.slice(0, place) + put + text.slice(place + cut);
        const wanted = reference(edited);
        if (wanted === "refused") {
          expect(() => read(edited)).toThrow(JsonSyntaxFault);
        } else {
          expect(read(edited)).toEqual(wanted.value);
          skip(edited);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    "0",
    "-0",
    "12",
    "123456789012345",
    "1234567890123456",
    "9007199254740993",
    "1.5",
    "-2e-3",
    "1E+2",
  ])("reads the number %s", (text) => {
    expect(read(text)).toBe(JSON.parse(text));
  });

  it("reads integers of any length as JSON.parse does", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 20n }), (integer) => {
        expect(read(String(integer))).toBe(JSON.parse(String(integer)));
      }),
      { numRuns: 2000 },
    );
  });

  it.each(["01", "1.", "-", "+1", ".5", "1e", "--1", "1-2"])("refuses the number %s", (text) => {
    expect(() => read(text)).toThrow(JsonSyntaxFault);
  });

  it("says where a fault is", () => {
    expect(() => read('{"a": ?}')).toThrow("something stands where a value must stand (byte 6)");
    expect(() => read('{"a" 1}')).toThrow("something stands where : must stand (byte 5)");
    expect(() => read('{"a": "\n"}')).toThrow("a string has a control character (byte 7)");
    expect(() => read('["\\x"]')).toThrow("has an escape that there is not (byte 1)");
    expect(() => read("[1")).toThrow("it ends in the middle");
    const bytes = Buffer.concat([Buffer.from('["'), Buffer.of(0xff), Buffer.from('"]')]);
    const reader = new JsonReader(bytes);
    expect(() => reader.list(() => reader.string())).toThrow("a string is not UTF-8");
  });

  it("passes over what is not deeper than any file is, and tells its size", () => {
    const nested = (depth: number): string => `${"[".repeat(depth)}${" ".repeat(1000)}${"]".repeat(depth)}`;
    expect(readerOf(nested(200)).describe()).toBe("a list of 1400 bytes");
    expect(() => skip(nested(202))).toThrow("are more than 200 deep in one another (byte 201)");
    expect(readerOf('{"a": [1, 2]}').describe()).toBe('{"a":[1,2]}');
  });
});
