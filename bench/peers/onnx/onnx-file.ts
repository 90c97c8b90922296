/** The parts of an ONNX file (onnx.proto): nodes, tensors, inputs and outputs. */
import { bytes, encode, float, integer, message, text, type Field, type Message } from "./protobuf.ts";

/** TensorProto.DataType. */
const DATA_TYPES = { float: 1, uint8: 2, int32: 6, int64: 7 } as const;
export type DataType = keyof typeof DATA_TYPES;

const IR_VERSION = 10;
const OPSET = 21;
/** The domain of ONNX Runtime's own operators. */
export const MICROSOFT = "com.microsoft";

export interface OnnxNode {
  op: string;
  domain?: string;
  inputs: readonly string[];
  outputs: readonly string[];
  /** Integers, unless they are listed in `floats`. */
  integers?: Readonly<Record<string, number>>;
  floats?: Readonly<Record<string, number>>;
}

/** A constant: with its bytes, or where they lie in the file of weights. */
export interface OnnxTensor {
  name: string;
  type: DataType;
  shape: readonly number[];
  data: Uint8Array | { file: string; offset: number; byteLength: number };
}

/** An input or output; names instead of numbers stand for sizes that differ from run to run. */
export interface OnnxValue {
  name: string;
  type: DataType;
  shape: readonly (number | string)[];
}

export interface OnnxGraph {
  nodes: readonly OnnxNode[];
  tensors: readonly OnnxTensor[];
  inputs: readonly OnnxValue[];
  outputs: readonly OnnxValue[];
}

/** The bytes of a model of one graph. */
export function encodeOnnx({ nodes, tensors, inputs, outputs }: OnnxGraph): Uint8Array {
  const graph: Field[] = [
    ...nodes.map((node) => message(1, nodeMessage(node))),
    text(2, "decoder"),
    ...tensors.map((tensor) => message(5, tensorMessage(tensor))),
    ...inputs.map((value) => message(11, valueMessage(value))),
    ...outputs.map((value) => message(12, valueMessage(value))),
  ];
  return encode([
    integer(1, IR_VERSION),
    message(8, [text(1, ""), integer(2, OPSET)]),
    message(8, [text(1, MICROSOFT), integer(2, 1)]),
    message(7, graph),
  ]);
}

function nodeMessage({ op, domain = "", inputs, outputs, integers = {}, floats = {} }: OnnxNode): Message {
  // AttributeProto.type: 1 is a float, 2 an integer.
  const attributes = [
    ...Object.entries(integers).map(([name, value]) => [text(1, name), integer(3, value), integer(20, 2)]),
    ...Object.entries(floats).map(([name, value]) => [text(1, name), float(2, value), integer(20, 1)]),
  ];
  return [
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(3, outputs[0] ?? op),
    text(4, op),
    ...attributes.map((attribute) => message(5, attribute)),
    text(7, domain),
  ];
}

function tensorMessage({ name, type, shape, data }: OnnxTensor): Message {
  const head = [...shape.map((size) => integer(1, size)), integer(2, DATA_TYPES[type]), text(8, name)];
  if (data instanceof Uint8Array) {
    return [...head, bytes(9, data)];
  }
  const entries = { location: data.file, offset: String(data.offset), length: String(data.byteLength) };
  const external = Object.entries(entries).map(([key, value]) => message(13, [text(1, key), text(2, value)]));
  return [...head, ...external, integer(14, 1)];
}

function valueMessage({ name, type, shape }: OnnxValue): Message {
  const dimensions = shape.map((size) =>
    message(1, [typeof size === "number" ? integer(1, size) : text(2, size)]),
  );
  return [text(1, name), message(2, [message(1, [integer(1, DATA_TYPES[type]), message(2, dimensions)])])];
}
