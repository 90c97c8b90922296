import { describe, expect, test } from "vitest";
import { growth, LINEAR } from "../../../test/support/growth.ts";
import { StopMatcher } from "./stop-strings.ts";

/** Feeds pieces and checks on the way that nothing follows a stop. */
function run(
  stops: readonly string[],
  pieces: readonly string[],
): { text: string; stopped: string | undefined } {
  const matcher = new StopMatcher(stops);
  let text = "";
  let stopped: string | undefined;
  for (const piece of pieces) {
    const step = matcher.push(piece);
    if (stopped !== undefined) {
      expect(step).toEqual({ emit: "", stopped });
    }
    text += step.emit;
    stopped = step.stopped;
  }
  return { text: text + matcher.finish(), stopped };
}

/**
 * What stopping means by its definition, one prefix of the text after the other: the first complete stop string ends the
 * text, of several the longest.
 */
function reference(stops: readonly string[], text: string): { text: string; stopped: string | undefined } {
  for (let end = 1; end <= text.length; end++) {
    const complete = stops
      .filter((stop) => text.slice(0, end).endsWith(stop))
      .sort((a, b) => b.length - a.length);
    if (complete[0] !== undefined) {
      return { text: text.slice(0, end - complete[0].length), stopped: complete[0] };
    }
  }
  return { text, stopped: undefined };
}

/** A small deterministic generator (mulberry32), so that a failure can be repeated. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

describe("StopMatcher", () => {
  test("no stop strings: everything passes at once", () => {
    expect(new StopMatcher([]).push("some text")).toEqual({ emit: "some text" });
  });

  test("a stop string across three pieces; text after it is dropped", () => {
    expect(run(["\n\nUser:"], ["Hi.\n", "\nUs", "er: what", "more"])).toEqual({
      text: "Hi.",
      stopped: "\n\nUser:",
    });
  });

  test("holds back only what may still become a stop string", () => {
    const matcher = new StopMatcher(["<end>"]);
    expect(matcher.push("abc <")).toEqual({ emit: "abc " });
    expect(matcher.push("e")).toEqual({ emit: "" });
    expect(matcher.push("<en")).toEqual({ emit: "<e" });
    expect(matcher.push("x")).toEqual({ emit: "<enx" });
    expect(matcher.push("<end")).toEqual({ emit: "" });
    expect(matcher.finish()).toBe("<end");
  });

  test("a false start that contains the true one", () => {
    expect(run(["aab"], ["aa", "aab"])).toEqual({ text: "aa", stopped: "aab" });
    expect(run(["ababc"], ["xab", "abab", "c!"])).toEqual({ text: "xab", stopped: "ababc" });
  });

  test("the first to be complete wins; at the same character, the longest", () => {
    expect(run(["abcd", "c"], ["abcd"])).toEqual({ text: "ab", stopped: "c" });
    expect(run(["stop", "stop now"], ["please stop now"])).toEqual({ text: "please ", stopped: "stop" });
    expect(run(["c", "bc", "abc"], ["xa", "bc"])).toEqual({ text: "x", stopped: "abc" });
  });

  test("an empty stop string is refused", () => {
    expect(() => new StopMatcher(["a", ""])).toThrow("stop string is empty");
  });

  test("equals the definition on random texts, stop strings and cuts", () => {
    const random = generator(7);
    const alphabets = ["ab", "abc", "a\n<>", "é日🙂"];
    for (let round = 0; round < 3000; round++) {
      const alphabet = [...(alphabets[random(alphabets.length)] ?? "")];
      const word = (length: number): string =>
        Array.from({ length }, () => alphabet[random(alphabet.length)] ?? "").join("");
      const stops = Array.from({ length: 1 + random(4) }, () => word(1 + random(5)));
      const pieces = Array.from({ length: random(12) }, () => word(random(4)));
      expect(run(stops, pieces), JSON.stringify({ round, stops, pieces })).toEqual(
        reference(stops, pieces.join("")),
      );
    }
  });

  test("linear with stop strings that almost match everywhere", () => {
    // A matcher that starts over, or copies what it holds back at each piece, takes time with the square of the length.
    const match = (n: number): void => {
      const matcher = new StopMatcher(["a".repeat(n) + "b", "a".repeat(n - 1) + "c"]);
      let length = 0;
      for (let i = 0; i < 4 * n; i++) {
        length += matcher.push("a").emit.length;
      }
      expect(length).toBe(3 * n);
      expect(matcher.finish().length).toBe(n);
    };
    expect(growth(match, 20_000)).toBeLessThan(LINEAR);
  });
});
