/**
 * The few Python objects that the pickle of a state dict names, each by what it means here. Nothing else can be had from a
 * pickle: every other name is refused, and so is every call but these.
 * Reference: torch/serialization.py (persistent ids), torch/_utils.py (_rebuild_*).
 */
import { ModelComposeError } from "../../../base/errors.ts";
import { REFETCH_FILE } from "../foreign-file.ts";
import { bytesPerElement, tensorBytes, type CheckpointDType } from "../tensor-location.ts";
import type { PickleBuilder } from "./pickle.ts";
import { PyDict, PyList, PyTuple, describePython } from "./pickle-values.ts";

/** Raw bytes that tensors view. */
export interface TorchStorage {
  readonly key: string;
  /** Element type as the pickle has it; undefined: plain bytes, and each tensor says what they are. */
  readonly dtype: CheckpointDType | undefined;
  readonly byteLength: number;
}

/** A tensor as a view on a storage. */
export interface TorchView {
  readonly storage: TorchStorage;
  readonly dtype: CheckpointDType;
  /** Where the first element lies, in bytes from the start of the storage. */
  readonly offset: number;
  readonly shape: readonly number[];
  /** Strides in elements; undefined when the tensor is row-major without gaps. */
  readonly strides: readonly number[] | undefined;
  readonly byteLength: number;
}

/** What a pickle holds where Python has a tensor or a parameter. */
export class TorchTensor {
  readonly view: TorchView;

  constructor(view: TorchView) {
    this.view = view;
  }
}

type Call = "OrderedDict" | "Size" | "tensor" | "tensor_v2" | "tensor_v3" | "parameter";

class TorchGlobal {
  readonly name: string;
  readonly call: Call | undefined;
  readonly dtype: CheckpointDType | undefined;
  readonly isStorage: boolean;

  constructor(name: string, meaning: { call?: Call; dtype?: CheckpointDType; isStorage?: boolean }) {
    this.name = name;
    this.call = meaning.call;
    this.dtype = meaning.dtype;
    this.isStorage = meaning.isStorage ?? false;
  }
}

const CALLS: Readonly<Record<string, Call>> = {
  "collections.OrderedDict": "OrderedDict",
  "torch.Size": "Size",
  "torch._utils._rebuild_tensor": "tensor",
  "torch._utils._rebuild_tensor_v2": "tensor_v2",
  "torch._utils._rebuild_tensor_v3": "tensor_v3",
  "torch._utils._rebuild_parameter": "parameter",
};

const STORAGES: Readonly<Record<string, CheckpointDType>> = {
  "torch.FloatStorage": "F32",
  "torch.HalfStorage": "F16",
  "torch.BFloat16Storage": "BF16",
  "torch.DoubleStorage": "F64",
  "torch.LongStorage": "I64",
  "torch.IntStorage": "I32",
  "torch.ShortStorage": "I16",
  "torch.CharStorage": "I8",
  "torch.ByteStorage": "U8",
  "torch.BoolStorage": "BOOL",
  "torch.ComplexFloatStorage": "C64",
  "torch.ComplexDoubleStorage": "C128",
};

/** Storages of bytes, for the element types that have no storage of their own (_rebuild_tensor_v3). */
const UNTYPED_STORAGES = ["torch.storage.UntypedStorage", "torch.UntypedStorage"];

const DTYPES: Readonly<Record<string, CheckpointDType>> = {
  "torch.float32": "F32",
  "torch.float16": "F16",
  "torch.bfloat16": "BF16",
  "torch.float64": "F64",
  "torch.int64": "I64",
  "torch.int32": "I32",
  "torch.int16": "I16",
  "torch.int8": "I8",
  "torch.uint8": "U8",
  "torch.bool": "BOOL",
  "torch.complex32": "C32",
  "torch.complex64": "C64",
  "torch.complex128": "C128",
  "torch.uint16": "U16",
  "torch.uint32": "U32",
  "torch.uint64": "U64",
  "torch.float8_e4m3fn": "F8_E4M3",
  "torch.float8_e4m3fnuz": "F8_E4M3FNUZ",
  "torch.float8_e5m2": "F8_E5M2",
  "torch.float8_e5m2fnuz": "F8_E5M2FNUZ",
  "torch.float8_e8m0fnu": "F8_E8M0",
};

const GLOBALS: ReadonlyMap<string, TorchGlobal> = new Map([
  ...Object.entries(CALLS).map(([name, call]) => [name, new TorchGlobal(name, { call })] as const),
  ...Object.entries(STORAGES).map(
    ([name, dtype]) => [name, new TorchGlobal(name, { dtype, isStorage: true })] as const,
  ),
  ...UNTYPED_STORAGES.map((name) => [name, new TorchGlobal(name, { isStorage: true })] as const),
  ...Object.entries(DTYPES).map(([name, dtype]) => [name, new TorchGlobal(name, { dtype })] as const),
]);

/** The most dimensions that torch allows. */
const MAX_DIMENSIONS = 64;
/** The most pairs that all OrderedDicts made of lists may have together. */
const MAX_PAIRS = 1_000_000;

/** Builds the objects of one pickle and collects the storages that it names. */
export class TorchBuilder implements PickleBuilder {
  /** The storages, by their keys. */
  readonly storages = new Map<string, TorchStorage>();
  readonly #file: string;
  #pairs = 0;

  /** @param file name of the file, for errors */
  constructor(file: string) {
    this.#file = file;
  }

  global(module: string, name: string): TorchGlobal {
    const qualified = `${module}.${name}`;
    const found = GLOBALS.get(qualified);
    if (found !== undefined) {
      return found;
    }
    throw new ModelComposeError(
      "unsupported",
      `"${this.#file}" asks for the Python object ${JSON.stringify(qualified.slice(0, 200))}. A pickle can name any ` +
        `program; accepted are only the objects that plain tensors are made of.`,
      { remedy: "Use the model's safetensors file, or a file that holds only tensors by name." },
    );
  }

  reduce(callable: unknown, { items }: PyTuple): unknown {
    if (!(callable instanceof TorchGlobal)) {
      throw this.#invalid(`calls ${describePython(callable)}`);
    }
    switch (callable.call) {
      case "OrderedDict":
        return this.#orderedDict(items);
      case "Size":
        if (items.length !== 1) {
          return this.#mismatch(callable, items);
        }
        return new PyTuple(this.#sizes(items[0], "a torch.Size"));
      case "tensor":
        if (items.length !== 4) {
          return this.#mismatch(callable, items);
        }
        return this.#tensor(items, undefined);
      case "tensor_v2":
        if (items.length !== 6 && items.length !== 7) {
          return this.#mismatch(callable, items);
        }
        this.#rejectFlags(items[6]);
        return this.#tensor(items, undefined);
      case "tensor_v3":
        if (items.length !== 7 && items.length !== 8) {
          return this.#mismatch(callable, items);
        }
        this.#rejectFlags(items[7]);
        return this.#tensor(items, items[6]);
      case "parameter":
        return items.length === 3 && items[0] instanceof TorchTensor
          ? items[0]
          : this.#mismatch(callable, items);
      case undefined:
        throw this.#invalid(`calls "${callable.name}", which is no function`);
    }
  }

  /** An OrderedDict's attributes (a state dict's `_metadata`: versions of modules) do not concern tensors. */
  build(object: unknown, state: unknown): void {
    if (object instanceof PyDict && state instanceof PyDict) {
      return;
    }
    const what = object instanceof TorchTensor ? "a tensor" : describePython(object);
    throw new ModelComposeError("unsupported", `The pickle in "${this.#file}" sets attributes of ${what}.`, {
      remedy: "Use the model's safetensors file, or a file that holds only tensors by name.",
    });
  }

  /**
   * The id of a storage is ("storage", type, key, device, elements), in the legacy format with a sixth item: None, or
   * (key, offset, elements) of a view.
   */
  persistent(id: unknown): StorageView {
    const items = id instanceof PyTuple ? id.items : [];
    const [kind, type, key, , elements, view = null] = items;
    if (kind !== "storage" || items.length < 5 || items.length > 6) {
      throw this.#invalid(`refers to ${describePython(kind ?? id)}; expected a storage`);
    }
    if (!(type instanceof TorchGlobal) || !type.isStorage) {
      throw this.#invalid(`has a storage of a type that is ${describePython(type)}`);
    }
    if (typeof key !== "string" || !isSize(elements)) {
      throw this.#invalid(`has a storage of key ${describePython(key)} and size ${describePython(elements)}`);
    }
    const { dtype } = type;
    const elementBytes = bytesPerElement(dtype ?? "U8");
    const storage = this.#storage({ key, dtype, byteLength: elements * elementBytes });
    if (view === null) {
      return new StorageView(storage, 0, storage.byteLength);
    }
    const [, offset, count] = view instanceof PyTuple && view.items.length === 3 ? view.items : [];
    if (!isSize(offset) || !isSize(count) || (offset + count) * elementBytes > storage.byteLength) {
      throw this.#invalid(
        `has a view that does not lie within its storage ${describePython(key)} of ${elements} elements`,
      );
    }
    return new StorageView(storage, offset * elementBytes, count * elementBytes);
  }

  #storage(wanted: TorchStorage): TorchStorage {
    const known = this.storages.get(wanted.key);
    if (known === undefined) {
      if (!Number.isSafeInteger(wanted.byteLength)) {
        throw this.#invalid(`has the storage ${describePython(wanted.key)} of ${wanted.byteLength} bytes`);
      }
      this.storages.set(wanted.key, wanted);
      return wanted;
    }
    if (known.dtype !== wanted.dtype || known.byteLength !== wanted.byteLength) {
      throw this.#invalid(
        `has the storage ${describePython(wanted.key)} as ${describeStorage(known)} and as ${describeStorage(wanted)}`,
      );
    }
    return known;
  }

  /** Makes what OrderedDict() gives, or Python 2's OrderedDict([[key, value], …]). */
  #orderedDict(items: readonly unknown[]): PyDict {
    const dict = new PyDict();
    const [pairs] = items;
    if (items.length === 0) {
      return dict;
    }
    if (items.length > 1 || !(pairs instanceof PyList)) {
      throw this.#invalid("makes an OrderedDict of no list");
    }
    // One list may be given to many calls.
    this.#pairs += pairs.items.length;
    if (this.#pairs > MAX_PAIRS) {
      throw this.#invalid(`makes OrderedDicts of more than ${MAX_PAIRS} pairs`);
    }
    for (const pair of pairs.items) {
      const [key, value, ...rest] = pair instanceof PyList || pair instanceof PyTuple ? pair.items : [];
      if (value === undefined || rest.length > 0 || !dict.add(key, value)) {
        throw this.#invalid(`makes an OrderedDict of ${describePython(pair)} after ${dict.size} entries`);
      }
    }
    return dict;
  }

  /** Makes a tensor from the arguments of _rebuild_tensor and its like: storage, offset in elements, size, stride, … */
  #tensor(items: readonly unknown[], type: unknown): TorchTensor {
    const [view, start, size, stride] = items;
    if (!(view instanceof StorageView)) {
      throw this.#invalid(`makes a tensor of ${describePython(view)}; expected a storage`);
    }
    const dtype = type === undefined ? (view.storage.dtype ?? "U8") : this.#dtype(type);
    const shape = this.#sizes(size, "a tensor's size");
    const strides = this.#sizes(stride, "a tensor's stride");
    if (!isSize(start) || shape.length !== strides.length) {
      throw this.#invalid(
        `has a tensor of shape [${shape.join(", ")}], strides [${strides.join(", ")}], offset ${describePython(start)}`,
      );
    }
    const byteLength = tensorBytes(dtype, shape);
    const elementBytes = bytesPerElement(dtype);
    const isEmpty = shape.includes(0);
    const last = shape.reduce((sum, count, axis) => sum + (count - 1) * (strides[axis] ?? 0), start);
    const end = isEmpty ? 0 : (last + 1) * elementBytes;
    if (byteLength === undefined || end > view.byteLength) {
      throw this.#invalid(
        `has a tensor of shape [${shape.join(", ")}], strides [${strides.join(", ")}] and offset ${start} ` +
          `that does not lie within its storage of ${view.byteLength / elementBytes} elements`,
      );
    }
    return new TorchTensor({
      storage: view.storage,
      dtype,
      offset: view.start + (isEmpty ? 0 : start * elementBytes),
      shape,
      strides: isRowMajor(shape, strides) ? undefined : strides,
      byteLength,
    });
  }

  #dtype(type: unknown): CheckpointDType {
    if (type instanceof TorchGlobal && !type.isStorage && type.dtype !== undefined) {
      return type.dtype;
    }
    throw this.#invalid(`has a tensor of a type that is ${describePython(type)}`);
  }

  #sizes(value: unknown, what: string): readonly number[] {
    const items = value instanceof PyTuple ? value.items : undefined;
    if (items === undefined || items.length > MAX_DIMENSIONS || !items.every(isSize)) {
      throw this.#invalid(
        `has as ${what} ${describePython(value)}; expected at most ${MAX_DIMENSIONS} integers >= 0`,
      );
    }
    return items;
  }

  /** Refuses flags that change what the bytes mean: those of a lazily conjugated or negated tensor. */
  #rejectFlags(flags: unknown): void {
    if (flags === undefined || flags === null || (flags instanceof PyDict && flags.size === 0)) {
      return;
    }
    const names =
      flags instanceof PyDict ? [...flags.entries.keys()].slice(0, 3).map(describePython).join(", ") : "";
    throw new ModelComposeError(
      "unsupported",
      `The pickle in "${this.#file}" has a tensor with the flags ${names || describePython(flags)}, which change its values.`,
      { remedy: "Save the tensor with .resolve_neg() and .resolve_conj(), or use a safetensors file." },
    );
  }

  #mismatch({ name }: TorchGlobal, items: readonly unknown[]): never {
    const what = items.slice(0, 8).map(describePython).join(", ");
    throw this.#invalid(`calls "${name}" with ${items.length} arguments that it does not take (${what})`);
  }

  #invalid(problem: string): ModelComposeError {
    return new ModelComposeError("invalid-checkpoint", `The pickle in "${this.#file}" ${problem}.`, {
      remedy: REFETCH_FILE,
    });
  }
}

/** Part of a storage: all of it, but for files of torch 0.3 and before. */
class StorageView {
  readonly storage: TorchStorage;
  /** Where the part begins in the storage, in bytes. */
  readonly start: number;
  readonly byteLength: number;

  constructor(storage: TorchStorage, start: number, byteLength: number) {
    this.storage = storage;
    this.start = start;
    this.byteLength = byteLength;
  }
}

/**
 * The tensors of a state dict, by name. Entries that are no tensors (counters, settings) are left out. Throws
 * "unsupported" when the value is no dict, or has entries but no tensor.
 */
export function tensorsOfStateDict(value: unknown, file: string): Map<string, TorchView> {
  const fail = (problem: string): ModelComposeError =>
    new ModelComposeError("unsupported", `"${file}" holds ${problem}; expected a dict of tensors by name.`, {
      remedy: "Save the model's state_dict() alone, or use a checkpoint in safetensors format.",
    });
  if (!(value instanceof PyDict)) {
    throw fail(value instanceof TorchTensor ? "one tensor without a name" : describePython(value));
  }
  const tensors = new Map<string, TorchView>();
  for (const [name, entry] of value.entries) {
    if (!(entry instanceof TorchTensor)) {
      continue;
    }
    if (typeof name !== "string") {
      throw fail(`a tensor whose name is ${describePython(name)}`);
    }
    tensors.set(name, entry.view);
  }
  if (tensors.size === 0 && value.size > 0) {
    const nested = [...value.entries]
      .slice(0, 5)
      .map(([key, entry]) => `${describePython(key)}: ${describePython(entry)}`);
    throw fail(`no tensors at its top level, but ${nested.join(", ")}`);
  }
  return tensors;
}

function isSize(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  if (shape.includes(0)) {
    return true;
  }
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis] ?? 1;
    if (size > 1 && strides[axis] !== expected) {
      return false;
    }
    expected *= size;
  }
  return true;
}

function describeStorage({ dtype, byteLength }: TorchStorage): string {
  return `${byteLength} bytes of ${dtype ?? "any type"}`;
}
