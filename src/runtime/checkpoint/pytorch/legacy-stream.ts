/**
 * torch.save's format before 1.6: five pickles one behind the other (a magic number, the protocol's version, facts about the
 * machine, the object, the keys of its storages), then each storage in the order of the keys: its number of elements
 * (i64) and its bytes, both little-endian whatever the machine. Reference: _legacy_save and _legacy_load in
 * torch/serialization.py.
 */
import { bytesPerElement, type TensorLocation } from "../tensor-location.ts";
import { locateTensors } from "./locate-tensors.ts";
import { MAX_PICKLE_BYTES, PickleEndsEarly } from "./pickle-bytes.ts";
import { readPickle } from "./pickle.ts";
import { PyDict, PyList, describePython } from "./pickle-values.ts";
import { invalidTorchFile, type TorchFile } from "./torch-file.ts";
import { TorchBuilder, tensorsOfStateDict, type TorchStorage, type TorchView } from "./torch-objects.ts";

const MAGIC_NUMBER = 0x1950a86a20f9469cfc6cn;
const PROTOCOL_VERSION = 1001;
/** How much of the file is read for the pickles at first, and how much more each time that they do not end in it. */
const FIRST_READ_BYTES = 256 * 1024;
const GROWTH = 4;
const COUNT_BYTES = 8;

interface Pickles {
  tensors: Map<string, TorchView>;
  storages: ReadonlyMap<string, TorchStorage>;
  /** Keys of the storages, in the order of the file. */
  keys: string[];
  /** Index of the byte after the last pickle. */
  end: number;
}

/** Where the tensors of a file in this format lie. Throws "invalid-checkpoint" and "unsupported". */
export async function readLegacyStream(legacy: TorchFile): Promise<TensorLocation[]> {
  const { path } = legacy;
  const { tensors, storages, keys, end } = await readPickles(legacy);
  const offsets = await locateStorages(legacy, storages, keys, end);
  return locateTensors(tensors, path, (storage) => {
    const offset = offsets.get(storage);
    if (offset !== undefined) {
      return { offset };
    }
    throw invalidTorchFile(path, `has no bytes for the storage ${describePython(storage.key)}`);
  });
}

/** Nothing says how long the pickles are, so more and more of the file is tried. */
async function readPickles({ path, size, file }: TorchFile): Promise<Pickles> {
  for (let length = FIRST_READ_BYTES; ; length *= GROWTH) {
    const bytes = new Uint8Array(Math.min(length, size, MAX_PICKLE_BYTES));
    await file.read(bytes, 0);
    try {
      return parsePickles(path, bytes);
    } catch (error) {
      if (!(error instanceof PickleEndsEarly) || bytes.length === size) {
        throw error;
      }
      if (bytes.length === MAX_PICKLE_BYTES) {
        throw invalidTorchFile(path, `has pickles that do not end within ${MAX_PICKLE_BYTES} bytes`);
      }
    }
  }
}

function parsePickles(path: string, bytes: Uint8Array): Pickles {
  const builder = new TorchBuilder(path);
  let end = 0;
  const next = (): unknown => {
    const pickle = readPickle({ name: `"${path}"`, bytes, start: end }, builder);
    end = pickle.end;
    return pickle.value;
  };
  const magic = next();
  if (magic !== MAGIC_NUMBER) {
    throw invalidTorchFile(
      path,
      `begins with a pickle of ${describePython(magic)}; expected torch.save's magic number`,
    );
  }
  const version = next();
  if (version !== PROTOCOL_VERSION) {
    throw invalidTorchFile(
      path,
      `has the protocol version ${describePython(version)}; expected ${PROTOCOL_VERSION}`,
    );
  }
  const machine = next();
  if (!(machine instanceof PyDict)) {
    throw invalidTorchFile(path, `describes its machine by ${describePython(machine)}`);
  }
  const tensors = tensorsOfStateDict(next(), path);
  const storages = new Map(builder.storages);
  const keys = next();
  if (!(keys instanceof PyList) || !keys.items.every((key) => typeof key === "string")) {
    throw invalidTorchFile(
      path,
      `lists its storages as ${describePython(keys)}; expected a list of their keys`,
    );
  }
  return { tensors, storages, keys: keys.items, end };
}

async function locateStorages(
  { path, size, file }: TorchFile,
  storages: ReadonlyMap<string, TorchStorage>,
  keys: readonly string[],
  start: number,
): Promise<Map<TorchStorage, number>> {
  const offsets = new Map<TorchStorage, number>();
  const bytes = new Uint8Array(COUNT_BYTES);
  let position = start;
  for (const key of keys) {
    const storage = storages.get(key);
    if (storage === undefined || offsets.has(storage)) {
      const problem = storage === undefined ? "that its pickle does not have" : "twice";
      throw invalidTorchFile(path, `lists the storage ${describePython(key)} ${problem}`);
    }
    const offset = position + COUNT_BYTES;
    position = offset + storage.byteLength;
    if (position > size) {
      throw invalidTorchFile(
        path,
        `should have the storage ${describePython(key)} in bytes ${offset} to ${position}, but has ${size} bytes`,
      );
    }
    await file.read(bytes, offset - COUNT_BYTES);
    const count = new DataView(bytes.buffer).getBigInt64(0, true);
    const expected = storage.byteLength / bytesPerElement(storage.dtype ?? "U8");
    if (count !== BigInt(expected)) {
      throw invalidTorchFile(
        path,
        `has ${count} elements in the storage ${describePython(key)}, which its pickle says has ${expected}`,
      );
    }
    offsets.set(storage, offset);
  }
  return offsets;
}
