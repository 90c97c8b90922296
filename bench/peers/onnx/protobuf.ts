/** Writes protocol buffers, as far as ONNX files need them: https://protobuf.dev/programming-guides/encoding. */

/** A message: its fields, each with its number. */
export type Message = readonly Field[];

export type Field =
  | { number: number; kind: "integer"; value: number }
  | { number: number; kind: "float"; value: number }
  | { number: number; kind: "text"; value: string }
  | { number: number; kind: "bytes"; value: Uint8Array }
  | { number: number; kind: "message"; value: Message };

export const integer = (number: number, value: number): Field => ({ number, kind: "integer", value });
export const float = (number: number, value: number): Field => ({ number, kind: "float", value });
export const text = (number: number, value: string): Field => ({ number, kind: "text", value });
export const bytes = (number: number, value: Uint8Array): Field => ({ number, kind: "bytes", value });
export const message = (number: number, value: Message): Field => ({ number, kind: "message", value });

/** How a field's value is written. */
const WIRE = { varint: 0, delimited: 2, fixed32: 5 } as const;

/** The bytes of a message. */
export function encode(fields: Message): Uint8Array {
  return Buffer.concat(fields.flatMap(encodeField));
}

function encodeField(field: Field): Uint8Array[] {
  const tag = (wire: number): Uint8Array => varint(BigInt(field.number * 8 + wire));
  const delimited = (value: Uint8Array): Uint8Array[] => [
    tag(WIRE.delimited),
    varint(BigInt(value.byteLength)),
    value,
  ];
  switch (field.kind) {
    case "integer":
      return [tag(WIRE.varint), varint(BigInt.asUintN(64, BigInt(field.value)))];
    case "float":
      return [tag(WIRE.fixed32), new Uint8Array(Float32Array.of(field.value).buffer)];
    case "text":
      return delimited(new TextEncoder().encode(field.value));
    case "bytes":
      return delimited(field.value);
    case "message":
      return delimited(encode(field.value));
  }
}

/** Seven bits a byte, the lowest first; the highest bit says that more follow. */
function varint(value: bigint): Uint8Array {
  const groups: number[] = [];
  let rest = value;
  do {
    groups.push(Number(rest & 0x7fn));
    rest >>= 7n;
  } while (rest > 0n);
  return Uint8Array.from(groups, (group, i) => (i < groups.length - 1 ? group | 0x80 : group));
}
