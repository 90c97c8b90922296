/** Worker of the file-read measurement: reads its extents once into memory of its own, when told to. */
import { openFile, type OpenFile } from "../../src/runtime/platform/files.ts";
import { workerScope } from "../../src/runtime/platform/workers.ts";
import { totalBytes, type Extent } from "./extents.ts";

const READ_BYTES = 8 * 2 ** 20;
/** Bytes of a buffer: well under the 2 GiB that some platforms allow one read or one buffer. */
const BUFFER_BYTES = 2 ** 30;

/** Where the next read of at most `most` bytes goes. */
type Target = (most: number) => Uint8Array;

/** Memory that has not been touched before: the system gives its pages as the reads fill them. */
function freshMemory(bytes: number): Target {
  const buffers: ArrayBuffer[] = [];
  for (let done = 0; done < bytes; done += BUFFER_BYTES) {
    buffers.push(new ArrayBuffer(Math.min(BUFFER_BYTES, bytes - done)));
  }
  let used = 0;
  return (most) => {
    const buffer = buffers[Math.floor(used / BUFFER_BYTES)];
    const start = used % BUFFER_BYTES;
    const view = new Uint8Array(buffer, start, Math.min(most, buffer.byteLength - start));
    used += view.byteLength;
    return view;
  };
}

function readAll(extents: readonly Extent[], files: ReadonlyMap<string, OpenFile>, target: Target): void {
  for (const { file, offset, length } of extents) {
    const open = files.get(file);
    if (open === undefined) {
      throw new Error(`"${file}" was not opened.`);
    }
    for (let done = 0; done < length;) {
      const part = target(Math.min(READ_BYTES, length - done));
      open.read(part, offset + done);
      done += part.byteLength;
    }
  }
}

const { port, data } = workerScope();
const extents = data as Extent[];
const files = new Map<string, OpenFile>();
for (const { file } of extents) {
  if (!files.has(file)) {
    files.set(file, openFile(file));
  }
}

port.once("message", () => {
  readAll(extents, files, freshMemory(totalBytes(extents)));
  port.postMessage("done");
});
port.postMessage("ready");
