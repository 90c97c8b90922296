/** Text of files that people wrote: UTF-8, or UTF-16 with its mark; everything else is refused instead of being guessed at. */
import { ModelComposeError } from "./errors.ts";

/**
 * The text of a file without its byte order mark.
 *
 * @param name The file as errors name it: "The compose file a.yml"
 * @throws ModelComposeError "invalid-config" for bytes that are no text of these encodings; it says which they look like
 */
export function decodeText(bytes: Uint8Array, name: string): string {
  const marked = new Map([
    ["fffe", "utf-16le"],
    ["feff", "utf-16be"],
  ]).get(Buffer.from(bytes.subarray(0, 2)).toString("hex"));
  const encoding = marked ?? "utf-8";
  try {
    const text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
    if (!text.includes("\0")) {
      return text;
    }
  } catch {
    // What it is instead is said below.
  }
  throw new ModelComposeError("invalid-config", `${name} is not UTF-8: ${whatElse(bytes, encoding)}.`, {
    remedy: "Save it as UTF-8.",
  });
}

function whatElse(bytes: Uint8Array, encoding: string): string {
  if (encoding !== "utf-8") {
    return `it begins with the mark of ${encoding.toUpperCase()}, and does not go on so`;
  }
  const nul = bytes.indexOf(0);
  if (nul !== -1) {
    const share = bytes.subarray(0, 1000).filter((byte) => byte === 0).length / Math.min(bytes.length, 1000);
    return share > 0.25
      ? "it looks like UTF-16 without its mark"
      : `${place(bytes, nul)} has the byte 0, which no text has`;
  }
  const at = firstInvalid(bytes);
  const byte = (bytes[at] ?? 0).toString(16).padStart(2, "0");
  return `${place(bytes, at)} has the byte 0x${byte}, as Windows-1252, ISO-8859 and other encodings of one byte a letter have`;
}

/** The offset of the first byte that UTF-8 has not there, by halves: a prefix is valid up to it, and not beyond. */
function firstInvalid(bytes: Uint8Array): number {
  let [valid, invalid] = [0, bytes.length];
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >> 1;
    const decoder = new TextDecoder("utf-8", { fatal: true });
    try {
      decoder.decode(bytes.subarray(0, middle), { stream: true });
      valid = middle;
    } catch {
      invalid = middle;
    }
  }
  return valid;
}

function place(bytes: Uint8Array, offset: number): string {
  const line = bytes.subarray(0, offset).filter((byte) => byte === 0x0a).length + 1;
  return `line ${line}`;
}
