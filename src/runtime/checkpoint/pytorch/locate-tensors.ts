/** Turns views on storages into places in the file. */
import type { TensorLocation } from "../tensor-location.ts";
import type { TorchStorage, TorchView } from "./torch-objects.ts";

/** Where a storage lies. */
export interface StoragePlace {
  /** Offset in the file, in bytes. */
  offset: number;
  /** CRC-32 of its bytes, where the file has it. */
  checksum?: number;
}

/**
 * The places of tensors in a file, each under its name.
 *
 * @param tensors views on storages, by the names of the tensors
 * @param locate gives the place of a storage in the file; asked once for each storage that a tensor views,
 *   and throws unless all of the storage is there
 */
export async function locateTensors(
  tensors: ReadonlyMap<string, TorchView>,
  file: string,
  locate: (storage: TorchStorage) => Promise<StoragePlace> | StoragePlace,
): Promise<TensorLocation[]> {
  const places = new Map<TorchStorage, StoragePlace>();
  const located: TensorLocation[] = [];
  for (const [name, { storage, dtype, offset, shape, strides, byteLength }] of tensors) {
    let place = places.get(storage);
    if (place === undefined) {
      places.set(storage, (place = await locate(storage)));
    }
    const location = { name, dtype, shape, file, offset: place.offset + offset, byteLength };
    if (strides !== undefined) {
      located.push({ ...location, strides });
    } else if (place.checksum !== undefined && byteLength === storage.byteLength) {
      located.push({ ...location, checksum: place.checksum });
    } else {
      located.push(location);
    }
  }
  return located.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
}
