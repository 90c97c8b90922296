/** A vocabulary as a tree of bytes, which an automaton walks to know which tokens may come next. */
import { ModelComposeError } from "../../base/errors.ts";

/** Tokens of more characters than this are not counted among those that are plain. */
const MOST_COUNTED = 64;

/** Tokens in the order of their bytes: a node a byte, each followed by what begins with it. */
export interface TokenTree {
  readonly bytes: Uint8Array;
  /** How deep each node lies, from 0. */
  readonly depths: Uint16Array;
  /** The first node behind all those below a node. */
  readonly ends: Int32Array;
  /** Where the tokens that end at a node begin in `tokens`, one place more than nodes. */
  readonly tokensFrom: Int32Array;
  readonly tokens: Int32Array;
  /** The most characters that a token has behind a node, one place more than nodes: of all tokens at the end. */
  readonly charactersBehind: Uint8Array;
  readonly depth: number;
}

/** The tokens of a model by what their text is. */
export class Vocabulary {
  /** Number of logits. */
  readonly size: number;
  /** Tokens that are whole characters of a JSON string, none of them escaped. */
  readonly plain: TokenTree;
  /** All other tokens. */
  readonly rest: TokenTree;
  readonly #bytesOf: (token: number) => Uint8Array | undefined;

  /**
   * @param bytesOf the bytes of a token; undefined for one without text, and for special tokens
   * @throws ModelComposeError "unsupported" for a vocabulary in which some characters have no tokens
   */
  constructor(size: number, bytesOf: (token: number) => Uint8Array | undefined) {
    this.size = size;
    this.#bytesOf = bytesOf;
    const rest: Entry[] = [];
    const plain: Entry[] = [];
    const single = new Set<number>();
    for (let token = 0; token < size; token++) {
      const bytes = bytesOf(token);
      if (bytes === undefined || bytes.length === 0) {
        continue;
      }
      if (bytes.length === 1) {
        single.add(bytes[0] ?? 0);
      }
      const characters = plainCharacters(bytes);
      const isPlain = characters !== undefined && characters <= MOST_COUNTED;
      (isPlain ? plain : rest).push({ token, bytes, text: Buffer.from(bytes).toString("latin1") });
    }
    requireBytes(single);
    this.plain = treeOf(plain);
    this.rest = treeOf(rest);
  }

  /** The bytes of a token; undefined for one without text. */
  bytesOf(token: number): Uint8Array | undefined {
    return this.#bytesOf(token);
  }
}

interface Entry {
  readonly token: number;
  readonly bytes: Uint8Array;
  /** The bytes as characters, which compare as the bytes do. */
  readonly text: string;
}

/** Bytes of UTF-8 that texts of any grammar may have. */
function requireBytes(single: ReadonlySet<number>): void {
  for (let byte = 0x20; byte <= 0xf4; byte++) {
    const isUsed = byte !== 0x7f && byte !== 0xc0 && byte !== 0xc1;
    if (isUsed && !single.has(byte)) {
      throw new ModelComposeError(
        "unsupported",
        `The model's tokenizer has no token for the byte 0x${byte.toString(16)} alone, so its text cannot be held to a grammar.`,
        { remedy: "Use a model whose tokens are bytes, or leave the grammar out." },
      );
    }
  }
}

/** How many characters bytes are; undefined where they are no whole characters, or some that JSON escapes. */
function plainCharacters(bytes: Uint8Array): number | undefined {
  let count = 0;
  for (const byte of bytes) {
    if (byte < 0x20 || byte === 0x22 || byte === 0x5c) {
      return undefined;
    }
    count += (byte & 0xc0) === 0x80 ? 0 : 1;
  }
  return isUtf8(bytes) ? count : undefined;
}

const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function isUtf8(bytes: Uint8Array): boolean {
  if (bytes.every((byte) => byte < 0x80)) {
    return true;
  }
  try {
    DECODER.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

function treeOf(entries: Entry[]): TokenTree {
  entries.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : a.token - b.token));
  const bytes: number[] = [];
  const depths: number[] = [];
  const tokensFrom: number[] = [];
  const tokens: number[] = [];
  let before = new Uint8Array();
  for (const { token, bytes: text } of entries) {
    let shared = 0;
    while (shared < before.length && before[shared] === text[shared]) {
      shared++;
    }
    for (let depth = shared; depth < text.length; depth++) {
      bytes.push(text[depth] ?? 0);
      depths.push(depth);
      tokensFrom.push(tokens.length);
    }
    tokens.push(token);
    before = Uint8Array.from(text);
  }
  tokensFrom.push(tokens.length);
  const depth = depths.reduce((most, each) => Math.max(most, each + 1), 0);
  return {
    bytes: Uint8Array.from(bytes),
    depths: Uint16Array.from(depths),
    ends: endsOf(depths),
    tokensFrom: Int32Array.from(tokensFrom),
    tokens: Int32Array.from(tokens),
    charactersBehind: charactersBehind(bytes, depths, depth),
    depth,
  };
}

/** The first node behind all those below each node. */
function endsOf(depths: readonly number[]): Int32Array {
  const ends = new Int32Array(depths.length).fill(depths.length);
  const open: number[] = [];
  for (const [node, depth] of depths.entries()) {
    while (open.length > depth) {
      ends[open.pop() ?? 0] = node;
    }
    open.push(node);
  }
  return ends;
}

/** The most characters that begin behind each node, counted from the last node backwards; last: in the whole tree. */
function charactersBehind(bytes: readonly number[], depths: readonly number[], depth: number): Uint8Array {
  const behind = new Uint8Array(bytes.length + 1);
  /** The most characters from a node of each depth on, among those whose parent has not come yet. */
  const from = new Uint8Array(depth + 2);
  for (let node = bytes.length - 1; node >= 0; node--) {
    const at = depths[node] ?? 0;
    const below = from[at + 1] ?? 0;
    behind[node] = below;
    from[at + 1] = 0;
    const isFirst = ((bytes[node] ?? 0) & 0xc0) !== 0x80;
    from[at] = Math.max(from[at] ?? 0, below + (isFirst ? 1 : 0));
  }
  behind[bytes.length] = from[0] ?? 0;
  return behind;
}
