/** Zip files as tests need them: sound ones, and ones that are wrong in one place. */
import { crc32 } from "node:zlib";

export interface ZipEntry {
  name: string;
  data: Uint8Array | string;
  /** General purpose flags; 1 is encryption. */
  flags?: number;
  /** Compression method in both headers; 8 is deflate. */
  method?: number;
  /** Extra field of the local header, as torch.save aligns data. */
  extra?: Uint8Array;
  /** Offset of the local header as the directory has it. */
  headerOffset?: number;
  /** The checksum that both headers have, where it is not the bytes'. */
  checksum?: number;
  /** Fields of the local header that are not the directory's. */
  local?: { name?: string; checksum?: number; size?: number };
}

export interface ZipOptions {
  /** Whether numbers go to the zip64 fields and records. */
  zip64?: boolean;
  comment?: string;
  /** Fields of the (zip64) end record that are overwritten. */
  end?: { entries?: number; directoryBytes?: number; directoryOffset?: number; disk?: number };
}

const encoder = new TextEncoder();

export function zipBytes(entries: readonly ZipEntry[], options: ZipOptions = {}): Uint8Array {
  const { zip64 = false, comment = "" } = options;
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  const add = (part: Uint8Array): void => {
    parts.push(part);
    offset += part.length;
  };
  for (const { name, data, flags = 0, method = 0, extra = new Uint8Array(), ...entry } of entries) {
    const nameBytes = encoder.encode(name);
    const bytes = typeof data === "string" ? encoder.encode(data) : data;
    const size = bytes.length;
    const begin = entry.headerOffset ?? offset;
    const checksum = entry.checksum ?? crc32(bytes);
    const local = { name, checksum, size, ...entry.local };
    add(
      record(
        [4, 0x04034b50],
        [2, 45],
        [2, flags],
        [2, method],
        [4, 0],
        [4, local.checksum],
        [4, local.size],
        [4, local.size],
        [2, encoder.encode(local.name).length],
        [2, extra.length],
      ),
    );
    add(encoder.encode(local.name));
    add(extra);
    add(bytes);
    const wide = zip64 ? record([2, 1], [2, 24], [8, size], [8, size], [8, begin]) : new Uint8Array();
    const narrow = (value: number): number => (zip64 ? 0xffffffff : value);
    directory.push(
      record(
        [4, 0x02014b50],
        [2, 45],
        [2, 45],
        [2, flags],
        [2, method],
        [4, 0],
        [4, checksum],
        [4, narrow(size)],
        [4, narrow(size)],
      ),
      record([2, nameBytes.length], [2, wide.length], [2, 0], [2, 0], [2, 0], [4, 0], [4, narrow(begin)]),
      nameBytes,
      wide,
    );
  }
  const end = {
    entries: entries.length,
    directoryBytes: directory.reduce((sum, { length }) => sum + length, 0),
    directoryOffset: offset,
    disk: 0,
    ...options.end,
  };
  for (const part of directory) {
    add(part);
  }
  if (zip64) {
    const at = offset;
    add(
      record(
        [4, 0x06064b50],
        [8, 44],
        [2, 45],
        [2, 45],
        [4, end.disk],
        [4, 0],
        [8, end.entries],
        [8, end.entries],
        [8, end.directoryBytes],
        [8, end.directoryOffset],
      ),
    );
    add(record([4, 0x07064b50], [4, 0], [8, at], [4, 1]));
  }
  const entriesField = zip64 ? 0xffff : end.entries;
  add(
    record(
      [4, 0x06054b50],
      [2, zip64 ? 0 : end.disk],
      [2, 0],
      [2, entriesField],
      [2, entriesField],
      [4, zip64 ? 0xffffffff : end.directoryBytes],
      [4, zip64 ? 0xffffffff : end.directoryOffset],
      [2, comment.length],
    ),
  );
  add(encoder.encode(comment));
  return concatenate(parts);
}

export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** The bytes of little-endian numbers, each [size in bytes, value]. */
function record(...fields: readonly (readonly [2 | 4 | 8, number])[]): Uint8Array {
  const bytes = new Uint8Array(fields.reduce((sum, [size]) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) {
      view.setUint16(at, value, true);
    } else if (size === 4) {
      view.setUint32(at, value, true);
    } else {
      view.setBigUint64(at, BigInt(value), true);
    }
    at += size;
  }
  return bytes;
}
