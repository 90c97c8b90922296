/** Random texts that a grammar's masks allow. */
import { isAllowed, type Grammar } from "../../src/runtime/grammar/matcher.ts";
import { Vocabulary } from "../../src/runtime/grammar/vocabulary.ts";

const encoder = new TextEncoder();

/** All bytes, and texts of several that go over the joints of JSON. */
const PIECES = [
  ...[
    '{"',
    '":',
    '": ',
    '","',
    '", "',
    '"}',
    '"]',
    "},",
    "}}",
    "]}",
    ", ",
    "[{",
    "true",
    "false",
    "null",
    "é",
    "日本",
  ],
  ...[
    'a"',
    "ab",
    "abc",
    "hello",
    " world",
    "name",
    "12",
    "0.5",
    "-1",
    "00",
    "\\n",
    '\\"',
    "e+",
    "-0",
    "2024-",
    ":00Z",
  ],
];

/** A small vocabulary: its first tokens are the 256 bytes. */
export function smallVocabulary(): Vocabulary {
  const pieces = PIECES.map((text) => encoder.encode(text));
  const bytes = (token: number): Uint8Array | undefined =>
    token < 256 ? Uint8Array.of(token) : pieces[token - 256];
  return new Vocabulary(256 + pieces.length, bytes);
}

/** Bytes that bring texts to an end, the first that is allowed first. */
const CLOSING = [...encoder.encode('"}],:0')];

/**
 * A random text of a grammar; undefined where it found no end.
 *
 * @param random numbers in 0 .. 1
 * @param most tokens after which it looks for the end
 */
export function maskedWalk(grammar: Grammar, random: () => number, most = 60): string | undefined {
  const { vocabulary } = grammar;
  const matcher = grammar.matcher();
  const bytes: number[] = [];
  for (let count = 0; count < most + 2000; count++) {
    if (matcher.mustEnd || (matcher.mayEnd && (count > most || random() < 0.3))) {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
    }
    const mask = matcher.mask();
    const allowed = Array.from({ length: vocabulary.size }, (_, token) => token).filter((token) =>
      isAllowed(mask, token),
    );
    if (allowed.length === 0) {
      throw new Error(`nothing may follow ${JSON.stringify(Buffer.from(bytes).toString())}`);
    }
    const closing = count > most ? CLOSING.find((byte) => isAllowed(mask, byte)) : undefined;
    const token = closing ?? allowed[Math.floor(random() * allowed.length)] ?? 0;
    matcher.accept(token);
    bytes.push(...(vocabulary.bytesOf(token) ?? []));
  }
  return undefined;
}
