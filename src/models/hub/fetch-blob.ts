/** Fetches one file's content from the hub into the cache: in pieces, from where it stopped, checked before it counts. */
import type { Hash } from "node:crypto";
import { ModelComposeError, throwIfAborted } from "../../base/errors.ts";
import {
  fileState,
  openWritable,
  removeFile,
  renameFile,
  type WritableFile,
} from "../../runtime/platform/file-store.ts";
import type { HubFile } from "./api.ts";
import { startHash } from "./content-hash.ts";
import { Retries, Transient, type Answer, type HubHttp } from "./http.ts";
import type { Subject } from "./refusals.ts";

/** A file to fetch, and where from and to. */
export interface BlobRequest {
  readonly http: HubHttp;
  readonly url: string;
  readonly file: HubFile;
  readonly subject: Subject;
  /** Path that the whole content gets; what has arrived of it is kept in `incompletePath`. */
  readonly path: string;
  readonly incompletePath: string;
  /** Called with the bytes that are there, of `file.size`. */
  readonly onBytes: (done: number) => void;
}

/**
 * Fetches what is missing of a blob, and gives it its name when its size and hash are right. After a break it goes on by a
 * byte range (RFC 9110, 14); a server that ignores ranges, or has another file meanwhile, is read from the beginning.
 *
 * @throws ModelComposeError "download" (after several attempts; a wrong hash, for which the file is discarded),
 *   "not-found"; AbortError. What has arrived is kept.
 */
export async function fetchBlob(request: BlobRequest): Promise<void> {
  const { path, incompletePath, subject } = request;
  for (let isFresh = false; ; isFresh = true) {
    const startedAt = (await fileState(incompletePath))?.size ?? 0;
    const hex = await new BlobTransfer(request).run();
    if (hex === request.file.hash.hex) {
      break;
    }
    await removeFile(incompletePath);
    // What was there before may be what is wrong: somebody else's beginning of the same file.
    if (isFresh || startedAt === 0) {
      throw wrongHash(request, hex);
    }
    request.http.notice(
      `What was there of ${subject.what} did not fit the rest: it is fetched from the beginning.`,
    );
  }
  // Another process that held the lock too may have been first.
  if (!(await renameFile(incompletePath, path)) && (await fileState(path))?.size !== request.file.size) {
    throw new ModelComposeError("download", `"${incompletePath}" was removed while it was fetched.`, {
      remedy: "Start it again.",
    });
  }
}

/** Bytes that an attempt must bring to count as progress. */
const LEAST_PROGRESS = 1024;

class BlobTransfer {
  readonly #request: BlobRequest;
  #hash: Hash;
  #position = 0;
  /** The ETag of the answer that is being read: a range is only good for the same file. */
  #etag: string | undefined;

  constructor(request: BlobRequest) {
    this.#request = request;
    this.#hash = this.#newHash();
  }

  /** Fetches all that is missing. @returns the hash of the whole content */
  async run(): Promise<string> {
    const { http, file, incompletePath, subject } = this.#request;
    const retries = new Retries(http, subject.what);
    const target = await openWritable(incompletePath);
    try {
      await this.#takeUp(target);
      // What comes again after a restart is no progress: a server may break off and refuse to go on for ever.
      let furthest = this.#position;
      while (this.#position < file.size) {
        try {
          await this.#attempt(target);
        } catch (error) {
          // A few bytes an attempt are none: a server that is too slow is given up, not asked for ever.
          if (this.#position - furthest >= Math.min(LEAST_PROGRESS, file.size - furthest)) {
            retries.progressed();
          }
          furthest = Math.max(furthest, this.#position);
          await retries.afterFailure(error);
        }
      }
      await target.truncate(file.size);
      await target.sync();
      return this.#hash.digest("hex");
    } finally {
      await target.close();
    }
  }

  /** Hashes what an earlier run left, and goes on from there. */
  async #takeUp(target: WritableFile): Promise<void> {
    const { http, file } = this.#request;
    // What is longer than the whole file is something else.
    if (target.size > file.size) {
      await this.#restart(target);
    }
    for await (const bytes of target.size > file.size ? [] : target.read(target.size)) {
      throwIfAborted(http.signal);
      this.#hash.update(bytes);
      this.#position += bytes.byteLength;
    }
    this.#request.onBytes(this.#position);
  }

  async #attempt(target: WritableFile): Promise<void> {
    const { http, url, subject } = this.#request;
    const headers = new Headers();
    if (this.#position > 0) {
      headers.set("range", `bytes=${this.#position}-`);
      if (this.#etag !== undefined) {
        headers.set("if-range", this.#etag);
      }
    }
    const answer = await http.open(url, { headers }, subject);
    try {
      if (!this.#continues(answer)) {
        await this.#restart(target);
      }
      if (answer.status === 416) {
        throw new Transient("the server has nothing behind what has arrived");
      }
      this.#checkSize(answer);
      this.#etag = strongEtag(answer.headers);
      for await (const bytes of answer.body) {
        throwIfAborted(http.signal);
        if (this.#position + bytes.byteLength > this.#request.file.size) {
          throw this.#tooLong();
        }
        await target.write(bytes, this.#position);
        this.#hash.update(bytes);
        this.#position += bytes.byteLength;
        this.#request.onBytes(this.#position);
      }
    } finally {
      answer.close();
    }
    if (this.#position < this.#request.file.size) {
      throw new Transient("the connection ended before the file did");
    }
  }

  /** Whether the answer begins where the file on disk ends. */
  #continues({ status, headers }: Answer): boolean {
    if (this.#position === 0) {
      return status !== 206 || rangeOf(headers)?.start === 0;
    }
    const range = rangeOf(headers);
    const { size } = this.#request.file;
    return (
      status === 206 && range?.start === this.#position && (range.total === undefined || range.total === size)
    );
  }

  /** Refuses an answer that tells another size of the whole file than the listed one. */
  #checkSize({ status, headers }: Answer): void {
    const range = rangeOf(headers);
    if (status === 206 && range?.start !== this.#position) {
      throw new Transient("the server sent another range");
    }
    const length = headers.has("content-encoding") ? undefined : headers.get("content-length");
    const total =
      status === 206 ? range?.total : length === null || length === undefined ? undefined : Number(length);
    const { size } = this.#request.file;
    if (total === undefined || total === size) {
      return;
    }
    throw new ModelComposeError(
      "download",
      `The hub lists ${this.#request.subject.what} with ${size} bytes, but sends ${total}.`,
      { remedy: "Try again later; a mirror (HF_ENDPOINT) may be out of date." },
    );
  }

  async #restart(target: WritableFile): Promise<void> {
    await target.truncate(0);
    this.#hash = this.#newHash();
    this.#position = 0;
    this.#etag = undefined;
    this.#request.onBytes(0);
  }

  #newHash(): Hash {
    const { hash, size } = this.#request.file;
    return startHash(hash.kind, size);
  }

  #tooLong(): ModelComposeError {
    const { subject, file } = this.#request;
    return new ModelComposeError(
      "download",
      `The server sends more of ${subject.what} than the ${file.size} bytes it has.`,
      {
        remedy: "Try again later; a mirror (HF_ENDPOINT) may be out of date.",
      },
    );
  }
}

/** The range of a Content-Range header: "bytes 5-9/10", "bytes 5-9/*". */
function rangeOf(headers: Headers): { start: number; total: number | undefined } | undefined {
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "") ?? [];
  return start === undefined
    ? undefined
    : { start: Number(start), total: total === "*" ? undefined : Number(total) };
}

/** The ETag of an answer if it is strong: only a strong validator says that two answers are the same bytes. */
function strongEtag(headers: Headers): string | undefined {
  const etag = headers.get("etag") ?? "";
  return /^"[^"]*"$/.test(etag) ? etag : undefined;
}

function wrongHash({ file, subject }: BlobRequest, found: string): ModelComposeError {
  const kind = file.hash.kind === "sha256" ? "SHA-256" : "git hash";
  return new ModelComposeError(
    "download",
    `What arrived of ${subject.what} is damaged: its ${kind} is ${found}; expected ${file.hash.hex}. It was discarded.`,
    {
      remedy:
        "Try again; if it stays so, something between here and the hub (a proxy, a mirror) changes files.",
    },
  );
}
