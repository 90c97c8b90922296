/** Pickles written by hand, instruction by instruction, for tests: what Python would not write. */
import { concatenate } from "./zip.ts";

/** Instructions in one piece: a byte for each number, UTF-8 for each text. */
export function assemble(...parts: readonly (number | string | Uint8Array)[]): Uint8Array {
  return concatenate(
    parts.map((part) => {
      if (typeof part === "number") {
        return Uint8Array.of(part);
      }
      return typeof part === "string" ? new TextEncoder().encode(part) : part;
    }),
  );
}

/** A text, by the instruction BINUNICODE. */
export function text(value: string): Uint8Array {
  const bytes = new TextEncoder().encode(value);
  return assemble("X", uint32(bytes.length), bytes);
}

/** An integer, by BININT. */
export function int(value: number): Uint8Array {
  return assemble("J", uint32(value));
}

/** The name of a class or function, by GLOBAL. */
export function global(module: string, name: string): Uint8Array {
  return assemble("c", module, "\n", name, "\n");
}

/** A tuple, by MARK and TUPLE. */
export function tuple(...items: readonly Uint8Array[]): Uint8Array {
  return assemble("(", ...items, "t");
}

/** A whole pickle: PROTO 2, the instructions, STOP. */
export function pickle(...parts: readonly (number | string | Uint8Array)[]): Uint8Array {
  return assemble(0x80, 2, ...parts, ".");
}

export interface StorageId {
  type?: Uint8Array;
  key?: string;
  elements?: number;
  /** Instructions for more items. */
  rest?: readonly Uint8Array[];
}

/** A storage, by its persistent id and BINPERSID. */
export function storage({
  type = global("torch", "FloatStorage"),
  key = "0",
  elements = 4,
  rest = [],
}: StorageId = {}): Uint8Array {
  return assemble(tuple(text("storage"), type, text(key), text("cpu"), int(elements), ...rest), "Q");
}

/** A tensor, by a call of _rebuild_tensor_v2. */
export function tensor(
  view: Uint8Array,
  offset: number,
  shape: readonly number[],
  strides: readonly number[],
): Uint8Array {
  const sizes = (values: readonly number[]): Uint8Array => tuple(...values.map(int));
  return assemble(
    global("torch._utils", "_rebuild_tensor_v2"),
    tuple(view, int(offset), sizes(shape), sizes(strides), assemble(0x89), assemble("N")),
    "R",
  );
}

/** A dict, from pairs of a name and a value. */
export function dict(...entries: readonly (readonly [string, Uint8Array])[]): Uint8Array {
  return assemble("}", "(", ...entries.map(([name, value]) => assemble(text(name), value)), "u");
}

function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return bytes;
}
