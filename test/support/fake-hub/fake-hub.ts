/**
 * A server that behaves like the Hugging Face hub, as far as fetching models goes, with the storage to which it redirects
 * for large files: another origin, which must never see a token. Both listen on loopback.
 */
import { createHash } from "node:crypto";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface FakeFile {
  readonly bytes: Uint8Array;
  /** Whether the file is in LFS: named by its SHA-256, and served by the storage. */
  readonly isLarge: boolean;
}

export interface FakeRepository {
  /** Files by path, of every commit. */
  readonly commits: Map<string, Map<string, FakeFile>>;
  /** Commits of branches and tags. */
  readonly revisions: Map<string, string>;
  isGated: boolean;
  isPrivate: boolean;
}

export interface SeenRequest {
  readonly host: "hub" | "storage";
  readonly method: string;
  /** Path and query of the request. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

/** A fault of one answer. */
export type Fault =
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string }
  /** The connection breaks after so many bytes of the body. */
  | { readonly cutAfter: number }
  /** Nothing comes any more after so many bytes of the body. */
  | { readonly stallAfter: number }
  /** After so many bytes of the body, nothing comes until something happens. */
  | { readonly holdAfter: number; readonly until: Promise<unknown> }
  /** The whole file is sent, whatever range was asked for. */
  | { readonly ignoreRange: true }
  /** Other bytes are sent, of the same length. */
  | { readonly corrupt: true }
  /** Other bytes, of another length. */
  | { readonly replaceBy: Uint8Array }
  /** The body comes in pieces of `pieceBytes`, with `delay` milliseconds between them. */
  | { readonly delay: number; readonly pieceBytes: number };

export class FakeHub {
  readonly repositories = new Map<string, FakeRepository>();
  readonly requests: SeenRequest[] = [];
  /** The token of an account that may read everything. */
  readonly token = "hf_secretSecretSecret";
  /** Number of entries of a page of the list of files; 0: all are on one. */
  pageSize = 0;
  /** Decides for every request what goes wrong with it; undefined: nothing. */
  fault: (request: SeenRequest) => Fault | undefined = () => undefined;
  readonly #servers: readonly [Server, Server];
  #url = "";
  #storageUrl = "";

  private constructor() {
    const serve = (host: SeenRequest["host"]): Server =>
      createServer((request, response) => {
        this.#answer(host, request, response).catch(() => response.destroy());
      });
    this.#servers = [serve("hub"), serve("storage")];
  }

  static async start(): Promise<FakeHub> {
    const hub = new FakeHub();
    const [url, storageUrl] = await Promise.all(hub.#servers.map(listen));
    hub.#url = url!;
    hub.#storageUrl = storageUrl!;
    return hub;
  }

  /** Address of the hub, for HF_ENDPOINT. */
  get url(): string {
    return this.#url;
  }

  /** Adds a repository, or to one a commit that its branch "main" then stands at. @returns the commit */
  add(
    id: string,
    files: Readonly<Record<string, Uint8Array | string>>,
    large: RegExp = /\.(safetensors|bin)$/,
  ): string {
    const content = new Map(
      Object.entries(files).map(([name, data]): [string, FakeFile] => {
        const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
        return [name, { bytes, isLarge: large.test(name) }];
      }),
    );
    const repository = this.repositories.get(id) ?? {
      commits: new Map(),
      revisions: new Map(),
      isGated: false,
      isPrivate: false,
    };
    const commit = createHash("sha1").update(`${id} ${repository.commits.size}`).digest("hex");
    repository.commits.set(commit, content);
    repository.revisions.set("main", commit);
    this.repositories.set(id, repository);
    return commit;
  }

  /** The requests so far whose host and path match. */
  seen(host: SeenRequest["host"], path = /./): SeenRequest[] {
    return this.requests.filter((request) => request.host === host && path.test(request.url));
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#servers.map((server) => {
        server.closeAllConnections();
        return new Promise<void>((resolve) => server.close(() => resolve()));
      }),
    );
  }

  async #answer(
    host: SeenRequest["host"],
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { method = "GET", url = "/", headers } = request;
    const seen: SeenRequest = { host, method, url, headers };
    this.requests.push(seen);
    const fault = this.fault(seen);
    if (fault !== undefined && "status" in fault) {
      response.writeHead(fault.status, fault.headers).end(fault.body ?? "");
      return;
    }
    const path = decodeURIComponent(new URL(url, "http://x").pathname);
    if (host === "storage") {
      return this.#serveStorage(path, request, response, fault);
    }
    const api = /^\/api\/models\/([^/]+\/[^/]+)\/(revision|tree)\/(.+)$/.exec(path);
    const file = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path);
    const [, id = "", kind = "resolve", reference = ""] =
      api ?? (file && [file[0], file[1], "resolve", file[2]]) ?? [];
    const repository = this.repositories.get(id);
    const isKnown = headers.authorization === `Bearer ${this.token}`;
    if (headers.authorization !== undefined && !isKnown) {
      return refuse(response, 401, "", "Invalid credentials in Authorization header");
    }
    // The answer does not tell whether the repository is missing or only private.
    if (repository === undefined || (repository.isPrivate && !isKnown)) {
      return refuse(
        response,
        isKnown ? 404 : 401,
        isKnown ? "RepoNotFound" : "",
        "Invalid username or password.",
      );
    }
    const commit = repository.revisions.get(reference) ?? reference;
    const files = repository.commits.get(commit);
    if (files === undefined) {
      return refuse(response, 404, "RevisionNotFound", "Invalid rev id");
    }
    if (kind === "revision") {
      sendJson(response, {
        _id: "1",
        id,
        sha: commit,
        private: false,
        gated: repository.isGated,
        lastModified: "2026-01-01T00:00:00.000Z",
      });
      return;
    }
    if (kind === "tree") {
      return this.#sendTree(files, url, response);
    }
    if (repository.isGated && !isKnown) {
      return refuse(response, 401, "GatedRepo", `Access to model ${id} is restricted.`);
    }
    const found = files.get(file?.[3] ?? "");
    if (found === undefined) {
      return refuse(response, 404, "EntryNotFound", "Entry not found");
    }
    response.setHeader("x-repo-commit", commit);
    if (!found.isLarge) {
      await sendContent(request, response, found.bytes, `"${gitHash(found.bytes)}"`, fault);
      return;
    }
    response.setHeader("x-linked-etag", `"${sha256(found.bytes)}"`);
    response.setHeader("x-linked-size", String(found.bytes.byteLength));
    response.writeHead(302, { location: `${this.#storageUrl}/${sha256(found.bytes)}?signature=abc` }).end();
  }

  #sendTree(files: ReadonlyMap<string, FakeFile>, url: string, response: ServerResponse): void {
    const entries = [
      { type: "directory", path: "onnx", size: 0, oid: "0".repeat(40) },
      ...[...files].map(([path, { bytes, isLarge }]) => ({
        type: "file",
        path,
        size: bytes.byteLength,
        oid: isLarge ? gitHash(new TextEncoder().encode(`pointer to ${path}`)) : gitHash(bytes),
        ...(isLarge ? { lfs: { oid: sha256(bytes), size: bytes.byteLength, pointerSize: 130 } } : {}),
      })),
    ];
    const address = new URL(url, this.#url);
    const start = Number(address.searchParams.get("cursor") ?? 0);
    const size = this.pageSize === 0 ? entries.length : this.pageSize;
    if (start + size < entries.length) {
      address.searchParams.set("cursor", String(start + size));
      response.setHeader("link", `<${address.href}>; rel="next"`);
    }
    sendJson(response, entries.slice(start, start + size));
  }

  async #serveStorage(
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
    fault: Fault | undefined,
  ): Promise<void> {
    const all = [...this.repositories.values()].flatMap(({ commits }) => [...commits.values()]);
    const files = all.flatMap((content) => [...content.values()]);
    const found = files.find((file) => file.isLarge && `/${sha256(file.bytes)}` === path);
    if (found === undefined) {
      return refuse(response, 404, "", "");
    }
    // The storage has validators of its own, which are not the hub's.
    await sendContent(request, response, found.bytes, `"storage-${sha256(found.bytes).slice(0, 8)}"`, fault);
  }
}

const PIECE_BYTES = 16 * 1024;

async function sendContent(
  request: IncomingMessage,
  response: ServerResponse,
  file: Uint8Array,
  etag: string,
  fault: Fault = { delay: 0, pieceBytes: PIECE_BYTES },
): Promise<void> {
  let bytes = "replaceBy" in fault ? fault.replaceBy : file;
  if ("corrupt" in fault) {
    bytes = bytes.map((byte, i) => (i === bytes.length >> 1 ? byte ^ 1 : byte));
  }
  const asked = "ignoreRange" in fault ? undefined : /^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1];
  const isSame = request.headers["if-range"] === undefined || request.headers["if-range"] === etag;
  const start = asked !== undefined && isSame ? Number(asked) : undefined;
  const headers: Record<string, string> = { etag, "accept-ranges": "bytes" };
  if (start !== undefined && start >= bytes.byteLength) {
    response.writeHead(416, { ...headers, "content-range": `bytes */${bytes.byteLength}` }).end();
    return;
  }
  const body = bytes.subarray(start ?? 0);
  headers["content-length"] = String(body.byteLength);
  if (start !== undefined) {
    headers["content-range"] = `bytes ${start}-${bytes.byteLength - 1}/${bytes.byteLength}`;
  }
  response.writeHead(start === undefined ? 200 : 206, headers);
  const stop =
    "cutAfter" in fault ? fault.cutAfter : "stallAfter" in fault ? fault.stallAfter : body.byteLength;
  const { delay, pieceBytes } = "delay" in fault ? fault : { delay: 0, pieceBytes: PIECE_BYTES };
  for (let at = 0; at < Math.min(stop, body.byteLength) && !response.destroyed; at += pieceBytes) {
    const piece = body.subarray(at, Math.min(at + pieceBytes, stop));
    await new Promise<void>((resolve) => response.write(piece, () => resolve()));
    if (delay > 0) {
      await sleep(delay);
    }
    if ("holdAfter" in fault && at + pieceBytes >= fault.holdAfter) {
      await fault.until;
    }
  }
  if ("stallAfter" in fault) {
    return;
  }
  if ("cutAfter" in fault) {
    response.destroy();
  } else {
    response.end();
  }
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  const headers = { ...(code === "" ? {} : { "x-error-code": code }), "x-error-message": message };
  response
    .writeHead(status, { ...headers, "content-type": "application/json" })
    .end(JSON.stringify({ error: message }));
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json; charset=utf-8" }).end(JSON.stringify(value));
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The hash by which git names content. */
export function gitHash(bytes: Uint8Array): string {
  return createHash("sha1").update(`blob ${bytes.byteLength}\0`).update(bytes).digest("hex");
}
