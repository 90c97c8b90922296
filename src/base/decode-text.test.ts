import { describe, expect, test } from "vitest";
import { decodeText } from "./decode-text.ts";

const utf16 = (text: string, isBig: boolean): Buffer => {
  const bytes = Buffer.from(text, "utf16le");
  return isBig ? bytes.swap16() : bytes;
};

test.each<[string, Uint8Array, string]>([
  ["nothing", new Uint8Array(), ""],
  ["UTF-8", Buffer.from("größe: 😀\r\n"), "größe: 😀\r\n"],
  ["UTF-8 with its mark", Buffer.from("\uFEFFa: 1"), "a: 1"],
  ["UTF-16 as PowerShell writes it", utf16("\uFEFFä: 😀", false), "ä: 😀"],
  ["UTF-16, big end first", utf16("\uFEFFä: 😀", true), "ä: 😀"],
])("%s is read", (_name, bytes, text) => {
  expect(decodeText(bytes, "F")).toBe(text);
});

describe("what is no text of these encodings is refused", () => {
  test.each<[string, Uint8Array, string]>([
    [
      "Windows-1252",
      Buffer.from("a: 1\nb: sch\xF6n\n", "latin1"),
      "line 2 has the byte 0xf6, as Windows-1252",
    ],
    ["a bad byte at the very end", Buffer.from("a\n\xFF", "latin1"), "line 2 has the byte 0xff"],
    ["a bad byte at the start", Buffer.from("\xFFa", "latin1"), "line 1 has the byte 0xff"],
    ["a character that is cut", Buffer.from("a: \u{1F600}").subarray(0, 5), "line 1 has the byte"],
    ["UTF-16 without a mark", utf16("component: 1", false), "it looks like UTF-16 without its mark"],
    [
      "UTF-16 that is cut",
      utf16("\uFEFFab", false).subarray(0, 5),
      "it begins with the mark of UTF-16LE, and does not go on so",
    ],
    ["a byte 0", Buffer.from("some text\nand \0 more text"), "line 2 has the byte 0, which no text has"],
  ])("%s", (_name, bytes, message) => {
    expect(() => decodeText(bytes, "The file x")).toThrow(`The file x is not UTF-8: ${message}`);
    expect(() => decodeText(bytes, "The file x")).toThrow("Save it as UTF-8.");
  });
});
