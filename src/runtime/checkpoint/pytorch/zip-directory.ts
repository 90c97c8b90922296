/**
 * The directory of a zip file, zip64 included: where each member's bytes lie. Nothing is unpacked.
 * Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (4.3.7, 4.3.12 to 4.3.16, 4.5.3)
 */
import { crc32 } from "node:zlib";
import { Parser } from "binary-parser";
import { ModelComposeError } from "../../../base/errors.ts";
import { invalidTorchFile, type TorchFile } from "./torch-file.ts";

export interface ZipMember {
  name: string;
  byteLength: number;
  /** Where the member's local header begins, in bytes; only that header tells its own length. */
  headerOffset: number;
  compression: number;
  isEncrypted: boolean;
  /** CRC-32 of its bytes; undefined where the file has none (torch.serialization.set_crc32_options(False) writes 0). */
  checksum: number | undefined;
}

/** The parts of records that have a fixed length. */
interface EndRecord {
  signature: number;
  disk: number;
  directoryDisk: number;
  entries: number;
  directoryBytes: number;
  directoryOffset: number;
  commentBytes: number;
}

interface Zip64Locator {
  signature: number;
  endDisk: number;
  endOffset: bigint;
}

interface Zip64EndRecord {
  signature: number;
  disk: number;
  directoryDisk: number;
  entries: bigint;
  directoryBytes: bigint;
  directoryOffset: bigint;
}

interface DirectoryEntry {
  signature: number;
  flags: number;
  compression: number;
  checksum: number;
  compressedBytes: number;
  byteLength: number;
  nameBytes: number;
  extraBytes: number;
  commentBytes: number;
  disk: number;
  headerOffset: number;
}

interface ExtraHeader {
  id: number;
  byteLength: number;
}

interface LocalHeader {
  signature: number;
  flags: number;
  compression: number;
  checksum: number;
  compressedBytes: number;
  byteLength: number;
  nameBytes: number;
  extraBytes: number;
}

const END_SIGNATURE = 0x06054b50;
const endParser = new Parser()
  .uint32le("signature")
  .uint16le("disk")
  .uint16le("directoryDisk")
  .seek(2) // entries on this disk
  .uint16le("entries")
  .uint32le("directoryBytes")
  .uint32le("directoryOffset")
  .uint16le("commentBytes");
const END_BYTES = endParser.sizeOf();

const LOCATOR_SIGNATURE = 0x07064b50;
const locatorParser = new Parser().uint32le("signature").uint32le("endDisk").uint64le("endOffset").seek(4); // number of disks
const LOCATOR_BYTES = locatorParser.sizeOf();

const END64_SIGNATURE = 0x06064b50;
const end64Parser = new Parser()
  .uint32le("signature")
  .seek(12) // its length, versions
  .uint32le("disk")
  .uint32le("directoryDisk")
  .seek(8) // entries on this disk
  .uint64le("entries")
  .uint64le("directoryBytes")
  .uint64le("directoryOffset");
const END64_BYTES = end64Parser.sizeOf();

const ENTRY_SIGNATURE = 0x02014b50;
const entryParser = new Parser()
  .uint32le("signature")
  .seek(4) // versions
  .uint16le("flags")
  .uint16le("compression")
  .seek(4) // time, date
  .uint32le("checksum")
  .uint32le("compressedBytes")
  .uint32le("byteLength")
  .uint16le("nameBytes")
  .uint16le("extraBytes")
  .uint16le("commentBytes")
  .uint16le("disk")
  .seek(6) // attributes
  .uint32le("headerOffset");
const ENTRY_BYTES = entryParser.sizeOf();

const LOCAL_SIGNATURE = 0x04034b50;
const localParser = new Parser()
  .uint32le("signature")
  .seek(2) // version
  .uint16le("flags")
  .uint16le("compression")
  .seek(4) // time, date
  .uint32le("checksum")
  .uint32le("compressedBytes")
  .uint32le("byteLength")
  .uint16le("nameBytes")
  .uint16le("extraBytes");
const LOCAL_BYTES = localParser.sizeOf();

/** What stands before each field of an entry's extra bytes. */
const extraParser = new Parser().uint16le("id").uint16le("byteLength");
const EXTRA_BYTES = extraParser.sizeOf();

const MAX_COMMENT_BYTES = 0xffff;
/** The largest directory that is read; a member of a state dict takes about 80 bytes of it. */
const MAX_DIRECTORY_BYTES = 64 * 2 ** 20;
const MAX_MEMBERS = 500_000;
/** What stands in place of a number that the zip64 fields have. */
const IN_ZIP64_16 = 0xffff;
const IN_ZIP64_32 = 0xffffffff;
const ZIP64_EXTRA = 0x0001;
/** What stands in place of a checksum that was not computed. */
const NO_CHECKSUM = 0;
/** The flag by which a local header says that checksum and sizes follow the bytes, and that it has none itself. */
const SIZES_FOLLOW = 0x0008;
/** Flags of traditional encryption, of strong encryption and of a masked directory. */
const ENCRYPTED = 0x0001 | 0x0040 | 0x2000;

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The members by name. Throws "invalid-checkpoint" for a file that is no zip file or is damaged. */
export async function readZipDirectory(zip: TorchFile): Promise<Map<string, ZipMember>> {
  const { path, size } = zip;
  const { entries, directoryBytes, directoryOffset } = await readEndRecord(zip);
  if (directoryOffset + directoryBytes > size) {
    throw invalid(
      path,
      `its directory should be bytes ${directoryOffset} to ${directoryOffset + directoryBytes}, but it has ${size} bytes`,
    );
  }
  if (directoryBytes > MAX_DIRECTORY_BYTES || entries > MAX_MEMBERS) {
    throw invalid(
      path,
      `its directory has ${entries} members in ${directoryBytes} bytes; ` +
        `expected at most ${MAX_MEMBERS} in ${MAX_DIRECTORY_BYTES}`,
    );
  }
  const bytes = await readRange(zip, directoryOffset, directoryBytes);
  const members = new Map<string, ZipMember>();
  let position = 0;
  for (let i = 0; i < entries; i++) {
    const { member, length } = parseEntry(path, bytes.subarray(position));
    position += length;
    if (members.has(member.name)) {
      throw invalid(path, `it has the member ${quoted(member.name)} twice`);
    }
    members.set(member.name, member);
  }
  checkOverlaps(path, [...members.values()], directoryOffset);
  return members;
}

/** Members lie one behind the other, before the directory: what lies in another is not what it says. */
function checkOverlaps(path: string, members: readonly ZipMember[], directoryOffset: number): void {
  const inOrder = [...members].sort((a, b) => a.headerOffset - b.headerOffset);
  for (const [i, { name, headerOffset, byteLength }] of inOrder.entries()) {
    const next = inOrder[i + 1];
    const end = headerOffset + LOCAL_BYTES + Buffer.byteLength(name) + byteLength;
    // One that begins behind everything is missed where it is looked for.
    if (headerOffset < directoryOffset && end > (next?.headerOffset ?? directoryOffset)) {
      const what = next === undefined ? "its directory" : `its member ${quoted(next.name)}`;
      throw invalid(path, `its member ${quoted(name)} lies over ${what}`);
    }
  }
}

/**
 * The offset in the file of a member's bytes, which are there as they are. Throws "unsupported" for a compressed or
 * encrypted member and "invalid-checkpoint" for one that does not lie within the file.
 */
export async function locateMember(zip: TorchFile, member: ZipMember): Promise<number> {
  const { path, size } = zip;
  const { name, byteLength, headerOffset } = member;
  if (headerOffset + LOCAL_BYTES > size) {
    throw invalid(
      path,
      `its member ${quoted(name)} should begin at byte ${headerOffset}, but it has ${size} bytes`,
    );
  }
  const bytes = await readRange(zip, headerOffset, LOCAL_BYTES);
  const local = localParser.parse(bytes) as LocalHeader;
  if (local.signature !== LOCAL_SIGNATURE) {
    throw invalid(
      path,
      `at byte ${headerOffset}, where its member ${quoted(name)} should begin, is something else`,
    );
  }
  if (member.isEncrypted || (local.flags & ENCRYPTED) !== 0) {
    throw unsupportedMember(path, name, "encrypted");
  }
  if (member.compression !== 0 || local.compression !== 0) {
    throw unsupportedMember(path, name, "compressed");
  }
  await checkLocalHeader(zip, member, local);
  const offset = headerOffset + LOCAL_BYTES + local.nameBytes + local.extraBytes;
  if (offset + byteLength > size) {
    throw invalid(
      path,
      `its member ${quoted(name)} should end at byte ${offset + byteLength}, but it has ${size} bytes`,
    );
  }
  return offset;
}

/** A member's own header must say what the directory says of it, as far as it says it. */
async function checkLocalHeader(zip: TorchFile, member: ZipMember, local: LocalHeader): Promise<void> {
  const { path } = zip;
  const { name, byteLength, headerOffset, checksum = NO_CHECKSUM } = member;
  const bytes = await readRange(zip, headerOffset + LOCAL_BYTES, local.nameBytes);
  const differs = (what: string): ModelComposeError =>
    invalid(path, `its member ${quoted(name)} has another ${what} in its own header than in the directory`);
  if (Buffer.from(bytes).toString("utf8") !== name) {
    throw differs("name");
  }
  if ((local.flags & SIZES_FOLLOW) !== 0) {
    return;
  }
  if (local.checksum !== checksum) {
    throw differs("checksum");
  }
  if (local.byteLength !== IN_ZIP64_32 && local.byteLength !== byteLength) {
    throw differs("size");
  }
}

/** Checks a member's bytes, where the file has their checksum. Throws "invalid-checkpoint". */
export function checkChecksum({ path }: TorchFile, { name, checksum }: ZipMember, bytes: Uint8Array): void {
  const found = crc32(bytes);
  if (checksum !== undefined && found !== checksum) {
    const hex = (number: number): string => number.toString(16).padStart(8, "0");
    throw invalid(
      path,
      `its member ${quoted(name)} has the checksum ${hex(found)}, and should have ${hex(checksum)}: it is damaged`,
    );
  }
}

interface DirectoryExtent {
  entries: number;
  directoryBytes: number;
  directoryOffset: number;
}

/** The end record is followed by a comment of any length only; zip64 has another one before it. */
async function readEndRecord(zip: TorchFile): Promise<DirectoryExtent> {
  const { path, size } = zip;
  const tailBytes = Math.min(size, END_BYTES + MAX_COMMENT_BYTES + LOCATOR_BYTES);
  const tailOffset = size - tailBytes;
  const tail = await readRange(zip, tailOffset, tailBytes);
  const view = new DataView(tail.buffer);
  for (let at = tailBytes - END_BYTES; at >= 0; at--) {
    if (view.getUint32(at, true) !== END_SIGNATURE) {
      continue;
    }
    const end = endParser.parse(tail.subarray(at)) as EndRecord;
    if (at + END_BYTES + end.commentBytes !== tailBytes) {
      continue;
    }
    if (at >= LOCATOR_BYTES && view.getUint32(at - LOCATOR_BYTES, true) === LOCATOR_SIGNATURE) {
      const locator = locatorParser.parse(tail.subarray(at - LOCATOR_BYTES)) as Zip64Locator;
      return readZip64EndRecord(zip, locator);
    }
    if (end.entries === IN_ZIP64_16 || end.directoryOffset === IN_ZIP64_32) {
      throw invalid(path, "its end record refers to a zip64 record that is not there");
    }
    if (end.disk !== 0 || end.directoryDisk !== 0) {
      throw split(path);
    }
    return end;
  }
  throw invalid(path, "it has no end record");
}

async function readZip64EndRecord(zip: TorchFile, locator: Zip64Locator): Promise<DirectoryExtent> {
  const { path, size } = zip;
  const offset = toNumber(locator.endOffset);
  if (offset + END64_BYTES > size) {
    throw invalid(path, `its zip64 end record should be at byte ${offset}, but it has ${size} bytes`);
  }
  const end = end64Parser.parse(await readRange(zip, offset, END64_BYTES)) as Zip64EndRecord;
  if (end.signature !== END64_SIGNATURE) {
    throw invalid(path, `there is no zip64 end record at byte ${offset}`);
  }
  if (locator.endDisk !== 0 || end.disk !== 0 || end.directoryDisk !== 0) {
    throw split(path);
  }
  return {
    entries: toNumber(end.entries),
    directoryBytes: toNumber(end.directoryBytes),
    directoryOffset: toNumber(end.directoryOffset),
  };
}

function parseEntry(path: string, bytes: Uint8Array): { member: ZipMember; length: number } {
  const cutOff = (): ModelComposeError =>
    invalid(path, "its directory has fewer members than its end record says");
  if (bytes.length < ENTRY_BYTES) {
    throw cutOff();
  }
  const entry = entryParser.parse(bytes) as DirectoryEntry;
  if (entry.signature !== ENTRY_SIGNATURE) {
    throw cutOff();
  }
  const extraStart = ENTRY_BYTES + entry.nameBytes;
  const length = extraStart + entry.extraBytes + entry.commentBytes;
  if (bytes.length < length) {
    throw cutOff();
  }
  const name = decodeName(path, bytes.subarray(ENTRY_BYTES, extraStart));
  const extra = bytes.subarray(extraStart, extraStart + entry.extraBytes);
  const { byteLength, compressedBytes, headerOffset } = withZip64(path, name, entry, extra);
  if (entry.disk !== 0 && entry.disk !== IN_ZIP64_16) {
    throw split(path);
  }
  if (entry.compression === 0 && byteLength !== compressedBytes) {
    throw invalid(
      path,
      `its member ${quoted(name)} is stored, but as ${compressedBytes} bytes of ${byteLength}`,
    );
  }
  const isEncrypted = (entry.flags & ENCRYPTED) !== 0;
  const { compression } = entry;
  const checksum = entry.checksum === NO_CHECKSUM ? undefined : entry.checksum;
  return { member: { name, byteLength, headerOffset, compression, isEncrypted, checksum }, length };
}

/** The entry with the numbers that did not fit, which its extra field has in a fixed order. */
function withZip64(
  path: string,
  name: string,
  { byteLength, compressedBytes, headerOffset }: DirectoryEntry,
  extra: Uint8Array,
): { byteLength: number; compressedBytes: number; headerOffset: number } {
  const numbers = { byteLength, compressedBytes, headerOffset };
  const missing = (["byteLength", "compressedBytes", "headerOffset"] as const).filter(
    (field) => numbers[field] === IN_ZIP64_32,
  );
  if (missing.length === 0) {
    return numbers;
  }
  const field = findExtra(extra, ZIP64_EXTRA);
  if (field === undefined || field.byteLength < 8 * missing.length) {
    throw invalid(path, `its member ${quoted(name)} lacks the sizes that zip64 gives`);
  }
  missing.forEach((key, i) => {
    numbers[key] = toNumber(field.getBigUint64(8 * i, true));
  });
  return numbers;
}

function findExtra(extra: Uint8Array, wanted: number): DataView | undefined {
  for (let rest = extra; rest.length >= EXTRA_BYTES;) {
    const { id, byteLength } = extraParser.parse(rest) as ExtraHeader;
    const end = EXTRA_BYTES + byteLength;
    if (end > rest.length) {
      return undefined;
    }
    if (id === wanted) {
      return new DataView(rest.buffer, rest.byteOffset + EXTRA_BYTES, byteLength);
    }
    rest = rest.subarray(end);
  }
  return undefined;
}

function decodeName(path: string, bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes);
  } catch (error) {
    throw invalid(path, "the name of a member is not UTF-8", error);
  }
}

/** A member's name in messages: it may be long, and hold anything. */
export function quoted(name: string): string {
  return JSON.stringify(name.length <= 200 ? name : `${name.slice(0, 200)}…`);
}

/** A 64-bit number as a double: beyond 2^53 only an approximation, but no file is that long. */
function toNumber(value: bigint): number {
  return Number(value);
}

async function readRange(
  { file }: TorchFile,
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  await file.read(bytes, offset);
  return bytes;
}

function split(path: string): ModelComposeError {
  return new ModelComposeError("unsupported", `"${path}" is one part of a zip file in several parts.`, {
    remedy: "Use a checkpoint whose files are whole.",
  });
}

function unsupportedMember(path: string, name: string, how: string): ModelComposeError {
  return new ModelComposeError(
    "unsupported",
    `The member ${quoted(name)} of "${path}" is ${how}; weights are read in place, as torch.save writes them.`,
    { remedy: "Pack the file again without compression and encryption, or use one in safetensors format." },
  );
}

function invalid(path: string, problem: string, cause?: unknown): ModelComposeError {
  return invalidTorchFile(path, `is not a sound zip file: ${problem}`, cause);
}
