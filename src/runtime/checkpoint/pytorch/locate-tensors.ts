/** Turns views on storages into places in the file. */
import type { TensorLocation } from "../tensor-location.ts";
import type { TorchStorage, TorchView } from "./torch-objects.ts";

/**
 * The places of tensors in a file, each under its name.
 *
 * @param tensors views on storages, by the names of the tensors
 * @param locate gives the offset of a storage in the file, in bytes; asked once for each storage that a tensor views,
 *   and throws unless all of the storage is there
 */
export async function locateTensors(
  tensors: ReadonlyMap<string, TorchView>,
  file: string,
  locate: (storage: TorchStorage) => Promise<number> | number,
): Promise<TensorLocation[]> {
  const offsets = new Map<TorchStorage, number>();
  const located: TensorLocation[] = [];
  for (const [name, { storage, dtype, offset, shape, strides, byteLength }] of tensors) {
    let start = offsets.get(storage);
    if (start === undefined) {
      offsets.set(storage, (start = await locate(storage)));
    }
    const location = { name, dtype, shape, file, offset: start + offset, byteLength };
    located.push(strides === undefined ? location : { ...location, strides });
  }
  return located.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
}
