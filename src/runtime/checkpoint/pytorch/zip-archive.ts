/**
 * torch.save's format since 1.6: a zip file with `NAME/data.pkl` (the pickle), `NAME/data/KEY` (a storage each) and
 * `NAME/byteorder`. Reference: _save and _load in torch/serialization.py.
 */
import { ModelComposeError } from "../../../base/errors.ts";
import type { TensorLocation } from "../tensor-location.ts";
import { locateTensors, type StoragePlace } from "./locate-tensors.ts";
import { MAX_PICKLE_BYTES } from "./pickle-bytes.ts";
import { readPickle } from "./pickle.ts";
import { TorchBuilder, tensorsOfStateDict, type TorchStorage } from "./torch-objects.ts";
import { invalidTorchFile, type TorchFile } from "./torch-file.ts";
import { checkChecksum, locateMember, quoted, readZipDirectory, type ZipMember } from "./zip-directory.ts";

const PICKLE = /^[^/]*\/data\.pkl$/;

/** Where the tensors of a file in this format lie. Throws "invalid-checkpoint" and "unsupported". */
export async function readZipArchive(zip: TorchFile): Promise<TensorLocation[]> {
  const { path } = zip;
  const members = await readZipDirectory(zip);
  const pickle = findPickle(path, members);
  const root = pickle.name.slice(0, -"data.pkl".length);
  if (members.has(`${root}constants.pkl`)) {
    throw new ModelComposeError("unsupported", `"${path}" is a TorchScript program, not weights alone.`, {
      remedy: "Use the model's checkpoint in safetensors format, or its pytorch_model.bin.",
    });
  }
  await checkByteOrder(zip, members.get(`${root}byteorder`));
  const bytes = await readMember(zip, pickle, MAX_PICKLE_BYTES);
  const builder = new TorchBuilder(path);
  const { value } = readPickle({ name: `"${path}" (${quoted(pickle.name)})`, bytes, start: 0 }, builder);
  return locateTensors(tensorsOfStateDict(value, path), path, (storage) =>
    locateStorage(zip, `${root}data/${storage.key}`, members, storage),
  );
}

function findPickle(path: string, members: ReadonlyMap<string, ZipMember>): ZipMember {
  const found = [...members.values()].filter(({ name }) => PICKLE.test(name));
  const [pickle] = found;
  if (pickle !== undefined && found.length === 1) {
    return pickle;
  }
  throw invalidTorchFile(
    path,
    `is a zip file with ${found.length} members NAME/data.pkl; torch.save writes one`,
  );
}

/** Refuses big-endian files. Files from before torch 2.1 do not name an order, and are taken for little-endian. */
async function checkByteOrder(zip: TorchFile, member: ZipMember | undefined): Promise<void> {
  if (member === undefined) {
    return;
  }
  const order = new TextDecoder("latin1").decode(await readMember(zip, member, 16));
  if (order === "little") {
    return;
  }
  if (order !== "big") {
    throw invalidTorchFile(zip.path, `has the byte order ${JSON.stringify(order)}`);
  }
  throw new ModelComposeError(
    "unsupported",
    `The weights in "${zip.path}" are big-endian; supported is little.`,
    {
      remedy: "Load and save the checkpoint again with PyTorch on a little-endian machine.",
    },
  );
}

async function readMember(zip: TorchFile, member: ZipMember, mostBytes: number): Promise<Uint8Array> {
  const { name, byteLength } = member;
  const offset = await locateMember(zip, member);
  if (byteLength > mostBytes) {
    throw invalidTorchFile(
      zip.path,
      `has the member ${quoted(name)} of ${byteLength} bytes; expected at most ${mostBytes}`,
    );
  }
  const bytes = new Uint8Array(byteLength);
  await zip.file.read(bytes, offset);
  checkChecksum(zip, member, bytes);
  return bytes;
}

async function locateStorage(
  zip: TorchFile,
  name: string,
  members: ReadonlyMap<string, ZipMember>,
  { byteLength }: TorchStorage,
): Promise<StoragePlace> {
  const member = members.get(name);
  if (member === undefined) {
    throw invalidTorchFile(zip.path, `lacks the member ${quoted(name)}, a storage of ${byteLength} bytes`);
  }
  const offset = await locateMember(zip, member);
  if (member.byteLength === byteLength) {
    const { checksum } = member;
    return checksum === undefined ? { offset } : { offset, checksum };
  }
  throw invalidTorchFile(
    zip.path,
    `has the member ${quoted(name)} of ${member.byteLength} bytes, which its pickle says has ${byteLength}`,
  );
}
