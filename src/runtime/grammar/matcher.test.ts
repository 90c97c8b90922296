import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import { Grammar, isAllowed } from "./matcher.ts";
import { Grammars } from "./grammars.ts";
import { Vocabulary } from "./vocabulary.ts";
import { maskedWalk, smallVocabulary } from "../../../test/support/masked-walk.ts";

const vocabulary = smallVocabulary();

/** Numbers in 0 .. 1 that are the same each time. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const person = {
  type: "object",
  properties: {
    name: { type: "string", maxLength: 5 },
    note: { type: "string" },
    age: { type: "integer", minimum: 0, maximum: 130 },
    tags: { type: "array", items: { type: "string", pattern: "^[a-h]+$" }, minItems: 1 },
  },
  required: ["name", "age"],
};

describe("masks", () => {
  test("allow a token exactly where its bytes may follow", () => {
    const grammar = new Grammar({ kind: "json", schema: person }, vocabulary);
    const random = randomNumbers(1);
    for (let text = 0; text < 8; text++) {
      const matcher = grammar.matcher();
      const { automaton } = grammar;
      let state = automaton.start;
      for (let count = 0; count < 40 && !matcher.mustEnd; count++) {
        const mask = matcher.mask();
        const expected = Array.from({ length: vocabulary.size }, (_, token) => {
          const bytes = vocabulary.bytesOf(token) ?? [];
          const to = [...bytes].reduce((at, byte) => automaton.expressions.step(at, byte), state);
          return to !== automaton.expressions.nothing;
        });
        expect(expected.map((_, token) => isAllowed(mask, token))).toEqual(expected);
        const allowed = expected.flatMap((is, token) => (is ? [token] : []));
        const token = allowed[Math.floor(random() * allowed.length)] ?? 0;
        matcher.accept(token);
        state = [...(vocabulary.bytesOf(token) ?? [])].reduce(
          (at, byte) => automaton.expressions.step(at, byte),
          state,
        );
      }
    }
  });

  test("a token that is not allowed is refused", () => {
    const matcher = new Grammar({ kind: "choice", texts: ["no"] }, vocabulary).matcher();
    matcher.accept(0x6e);
    expect(matcher.mayEnd).toBe(false);
    expect(() => {
      matcher.accept(0x6e);
    }).toThrow("The token 110 is not what the grammar allows here");
    matcher.accept(0x6f);
    expect([matcher.mayEnd, matcher.mustEnd]).toEqual([true, true]);
  });

  test("a vocabulary without a byte is refused", () => {
    const bytes = (token: number): Uint8Array | undefined =>
      token === 0x41 ? undefined : Uint8Array.of(token);
    expect(() => new Vocabulary(256, bytes)).toThrow("no token for the byte 0x41 alone");
  });

  test("tokens with the same bytes are all allowed", () => {
    const twice = new Vocabulary(512, (token) => Uint8Array.of(token % 256));
    const mask = new Grammar({ kind: "choice", texts: ["a"] }, twice).matcher().mask();
    const allowed = Array.from({ length: 512 }, (_, token) => token).filter((token) =>
      isAllowed(mask, token),
    );
    expect(allowed).toEqual([0x61, 0x161]);
  });
});

test("equal grammars are compiled once", () => {
  const grammars = new Grammars(256, (token) => Uint8Array.of(token));
  const one = grammars.of({ kind: "json", schema: { type: "null" } });
  expect(grammars.of({ kind: "json", schema: { type: "null" } })).toBe(one);
  expect(grammars.of({ kind: "json", schema: { type: "boolean" } })).not.toBe(one);
});

/** A random schema of keywords that go together. */
function randomSchema(random: () => number, depth: number): Record<string, unknown> {
  const int = (most: number): number => Math.floor(random() * (most + 1));
  const maybe = (value: Record<string, unknown>): Record<string, unknown> => (random() < 0.5 ? value : {});
  const below = (): Record<string, unknown> => randomSchema(random, depth - 1);
  const kinds: (() => Record<string, unknown>)[] = [
    () => ({
      type: "integer",
      ...maybe({ minimum: int(50) - 25 }),
      ...maybe({ maximum: 30 + int(300) }),
      ...maybe({ multipleOf: 1 + int(6) }),
    }),
    () => ({
      type: "number",
      ...maybe({ exclusiveMinimum: int(20) / 4 - 3 }),
      ...maybe({ maximum: 4 + int(100) / 8 }),
    }),
    () => ({ type: "string", ...maybe({ minLength: int(3) }), ...maybe({ maxLength: 3 + int(4) }) }),
    () => ({ type: "string", pattern: ["^[a-c]+$", "b", "^\\d{2}-", "(^|x)a$"][int(3)] }),
    () => ({
      type: "string",
      format: ["date", "time", "date-time", "uuid", "email", "ipv4", "ipv6"][int(6)],
    }),
    () => ({ enum: ["a", 2, null, false, [1], { b: 0 }].slice(int(4)) }),
    () => ({ not: { enum: ["a", 2, "abc"] } }),
  ];
  const nested: (() => Record<string, unknown>)[] = [
    () => ({
      type: "array",
      items: below(),
      ...maybe({ minItems: int(2) }),
      ...maybe({ maxItems: 2 + int(2) }),
      ...maybe({ prefixItems: [below()] }),
    }),
    () => ({
      type: "object",
      properties: { a: below(), ab: below(), c: below() },
      required: ["a", "c"].slice(int(2)),
      ...maybe({ additionalProperties: random() < 0.5 ? false : below() }),
      ...maybe({ maxProperties: 3 }),
      ...maybe({ patternProperties: { "^x": below() } }),
      ...maybe({ dependentRequired: { ab: ["c"] } }),
    }),
    () => ({ anyOf: [below(), below()] }),
    () => ({ oneOf: [{ type: "integer", minimum: int(9) }, { type: "number", maximum: 5 }, below()] }),
    () => ({ allOf: [below(), below()] }),
    () => ({ if: { type: "string" }, then: { maxLength: 3 }, else: below() }),
  ];
  const from = depth > 0 && random() < 0.7 ? nested : kinds;
  return from[int(from.length - 1)]?.() ?? {};
}

/** What ajv's own formats would be, as far as these texts go. */
const formats = {
  date: (text: string) => {
    const date = new Date(`${text}T00:00:00Z`);
    return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
  },
  time: /^\d\d:\d\d:\d\d(\.\d+)?([zZ]|[+-]\d\d:\d\d)$/,
  "date-time": (text: string) => !Number.isNaN(Date.parse(text.toUpperCase())),
  uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i,
  email: /^[^@\s]+@[^@\s]+\.[^@\s]+$/,
  ipv4: /^(\d{1,3}\.){3}\d{1,3}$/,
  ipv6: (text: string) => URL.canParse(`http://[${text}]`),
};

test("random texts of random schemas are what the schemas accept", () => {
  const random = randomNumbers(7);
  const ajv = new Ajv2020({ strict: false, formats });
  let texts = 0;
  for (let i = 0; i < 150; i++) {
    const schema = randomSchema(random, 2);
    let grammar;
    try {
      grammar = new Grammar({ kind: "json", schema }, vocabulary);
    } catch (error) {
      // What has no value, or is not enforced, is refused: that is right, too.
      expect(String(error)).toMatch(/cannot be enforced|some value matches|too large/);
      continue;
    }
    const isValid = ajv.compile(schema);
    for (let j = 0; j < 4; j++) {
      const text = maskedWalk(grammar, random, 30);
      if (text !== undefined) {
        texts++;
        expect(isValid(JSON.parse(text)), `${JSON.stringify(schema)} accepted ${text}`).toBe(true);
      }
    }
  }
  expect(texts).toBeGreaterThan(300);
});
