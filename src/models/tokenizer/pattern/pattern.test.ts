/** What patterns match is compared with the reference in test/tokenizer-parts.test.ts; here is how long it takes. */
import { describe, expect, test } from "vitest";
import { parsePattern } from "./parse.ts";
import { Pattern } from "./pattern.ts";
import { PatternError } from "./syntax.ts";

/** The pauses of a search, which has one after each 50,000 steps. */
function pauses(pattern: string, text: string): number {
  const scan = new Pattern(parsePattern(pattern)).scan(text);
  let count = 0;
  for (let found = scan.advance(); found !== "end"; found = scan.advance()) {
    count += found === "pause" ? 1 : 0;
    if (count > 1000) {
      return Infinity; // before it takes for ever
    }
  }
  return count;
}

describe("time grows with the text alone", () => {
  test.each([
    ["(a+)+$", "a"],
    ["(?:a|aa)+!", "a"],
    ["(?:\\w|\\w\\w)+!", "ab"],
    ["(?:a*)*b", "a"],
    ["(?:a|b|ab)*c", "ab"],
    ["\\s*[\\r\\n]+", " "],
    ["\\s+$x", " "],
    ["a++b", "a"],
    ["(?>a+)b", "a"],
    ["a.*b", "a"],
    ["a.*?b", "a"],
    ["x*y|\\w", "x"],
    ["a(?=a*b)", "a"],
    ["a(?!a*b)", "a"],
    ["(?=(?:a|aa)+b)a", "a"],
    ["(?=a++b)a", "a"],
    ["(?<=a)b|(?<=aa)c|aa", "a"],
    ["(?>(?:a|aa)(?:a|aa)(?:a|aa))b", "a"],
  ])("%s over many of %j", (pattern, unit) => {
    const text = unit.repeat(100_000 / unit.length);
    const [once, twice] = [pauses(pattern, text), pauses(pattern, text + text)];
    expect(once).toBeLessThan(60);
    expect(twice).toBeLessThan(2 * once + 3);
  });
});

test("a long search pauses, and goes on where it was", () => {
  const scan = new Pattern(parsePattern("b|(?:a|aa)+c")).scan(`${"a".repeat(60_000)}b${"a".repeat(10)}c`);
  const found: (string | number[])[] = [];
  for (let step = scan.advance(); ; step = scan.advance()) {
    found.push(step === "match" ? [scan.start, scan.end] : step);
    if (step === "end") {
      break;
    }
  }
  expect(found.filter((step) => step !== "pause")).toEqual([[60_000, 60_001], [60_001, 60_012], "end"]);
  expect(found.filter((step) => step === "pause").length).toBeGreaterThan(1);
});

describe("what is not read is refused by its spelling", () => {
  test.each([
    ["(a", 'lacks a ")"'],
    ["a)", 'has a ")" too many'],
    ["a\\", "ends in the middle"],
    ["[a", "ends in the middle"],
    ["*a", 'repeats nothing with "*"'],
    ["{2}", 'repeats nothing with "{"'],
    ["(a)\\1", 'has "\\1", which is not supported'],
    ["\\k<a>", 'has "\\k", which is not supported'],
    ["\\X", 'has "\\X", which is not supported'],
    ["\\p{IsGreek}", 'has the property "IsGreek", which is not supported'],
    ["\\p{Script=Greek}", 'has the property "Script=Greek", which is not supported'],
    ["\\pL", 'has "\\p" without a name in braces'],
    ["\\x4", 'has "\\x" without its digits'],
    ["\\x{110000}", "names the character 110000, which does not exist"],
    ["\\x{zz}", 'has "zz" where the number of a character is expected'],
    ["[[:foo:]]", 'has the class "[:foo:]", which is not supported'],
    ["[b-a]", "has a range in brackets that is none"],
    ["[a&&]", "has an empty class in brackets"],
    ["(?x)a b", 'has a group that begins with "(?x", which is not supported'],
    ["(?(1)a)", 'has a group that begins with "(?(", which is not supported'],
    ["a{2}?", 'has "?" after a count in braces, which is not supported'],
    ["a{1001}", 'repeats "{1001}" times; expected counts up to 1000'],
    ["a{3,2}", 'repeats "{3,2}" times'],
    ["(?i:ss)", 'compares "ss" without regard to case, whose length changes with case'],
    ["(?i:[ß])", 'compares "ß" without regard to case'],
    ["(?<=a*)b", "looks back at texts of different lengths"],
    ["(?>(?:ab)+)", "has an atomic group or a possessive repetition without a bound"],
    ["(?:(?:a{100}){100}){100}", "is too large with its repetitions written out"],
    ["(".repeat(100) + ")".repeat(100), "nests groups more than 50 deep"],
    ["[".repeat(100), "nests classes more than 50 deep"],
    [`a${"*".repeat(100)}`, "nests repetitions more than 50 deep"],
    ["a".repeat(20_000), "has 20000 characters; at most 10000 are read"],
  ])("%s", (source, message) => {
    const make = (): unknown => new Pattern(parsePattern(source));
    expect(make).toThrow(PatternError);
    expect(make).toThrow(message);
  });
});
