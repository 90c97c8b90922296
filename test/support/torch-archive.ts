/** Archives of torch.save around pickles that a test wrote by hand. */
import { readPytorchFile } from "../../src/runtime/checkpoint/pytorch/pytorch-file.ts";
import type { TensorLocation } from "../../src/runtime/checkpoint/tensor-location.ts";
import { temporaryFile } from "./model-files.ts";
import { assemble, dict, pickle } from "./pickle.ts";
import { zipBytes, type ZipEntry, type ZipOptions } from "./zip.ts";

/** A zip archive of torch.save around a pickle, with one storage of four floats, "0". */
export function archive(content: Uint8Array, more: readonly ZipEntry[] = [], options?: ZipOptions): string {
  const data = new Uint8Array(new Float32Array([1, 2, 3, 4]).buffer);
  const entries = [
    { name: "model/data.pkl", data: content },
    { name: "model/data/0", data, extra: assemble("FB", 3, 0, 0, 0, 0) },
  ];
  const kept = entries.filter(({ name }) => !more.some((entry) => entry.name === name));
  return temporaryFile("pytorch_model.bin", zipBytes([...kept, ...more], options));
}

/** The tensors of a state dict with these entries. */
export function readDict(
  ...entries: readonly (readonly [string, Uint8Array])[]
): Promise<readonly TensorLocation[]> {
  return readPytorchFile(archive(pickle(dict(...entries))));
}

/** Tensors by their names. */
export async function byName(
  tensors: Promise<readonly TensorLocation[]>,
): Promise<Map<string, TensorLocation>> {
  return new Map((await tensors).map((tensor) => [tensor.name, tensor]));
}
