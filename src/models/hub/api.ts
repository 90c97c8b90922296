/** What the hub tells about a repository: the commit of a revision, and the files of a commit. */
import { errorMessage, ModelComposeError } from "../../base/errors.ts";
import { isJsonObject } from "../../base/json.ts";
import type { HubHttp } from "./http.ts";
import { isCommit } from "./repository.ts";

/** Most pages of a list of files; a page has a thousand entries. */
const MAX_PAGES = 1000;

/** A file of a repository, with what identifies its content. */
export interface HubFile {
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  readonly hash: ContentHash;
}

/** A hash in hexadecimal: "sha256" of the bytes (files in LFS), or "git", the SHA-1 of "blob SIZE\0" and the bytes. */
export interface ContentHash {
  readonly kind: "sha256" | "git";
  readonly hex: string;
}

/** The hash that a blob of the cache is named by; undefined for a name that is none. */
export function contentHash(hex: string): ContentHash | undefined {
  if (/^[0-9a-f]{64}$/.test(hex)) {
    return { kind: "sha256", hex };
  }
  return /^[0-9a-f]{40}$/.test(hex) ? { kind: "git", hex } : undefined;
}

/**
 * The commit that a branch, a tag or the beginning of a commit stands for now.
 *
 * @throws ModelComposeError "not-found" for an unknown repository or revision, "download"
 */
export async function commitOfRevision(http: HubHttp, id: string, revision: string): Promise<string> {
  const { modelInfo } = await import("@huggingface/hub");
  const what = `the description of "${id}"`;
  const { sha } = await named(http, what, () =>
    modelInfo({
      name: id,
      revision,
      additionalFields: ["sha"],
      hubUrl: http.endpoint,
      fetch: fetchFor(http, { id, revision, what }),
    }),
  );
  if (typeof sha === "string" && isCommit(sha)) {
    return sha;
  }
  throw malformed(http, what, `"sha" is ${JSON.stringify(sha)}; expected a commit`);
}

/**
 * The files at the top of a repository, by name. Models have their own there; folders hold other formats.
 *
 * @param commit the commit in full
 * @throws ModelComposeError "not-found" for an unknown repository or commit, "download"
 */
export async function filesOfCommit(
  http: HubHttp,
  id: string,
  commit: string,
): Promise<Map<string, HubFile>> {
  const { listFiles } = await import("@huggingface/hub");
  const what = `the list of files of "${id}"`;
  const entries = listFiles({
    repo: { type: "model", name: id },
    revision: commit,
    hubUrl: http.endpoint,
    fetch: fetchFor(http, { id, revision: commit, what }),
  });
  const files = new Map<string, HubFile>();
  for (;;) {
    const next = await named(http, what, () => entries.next());
    if (next.done === true) {
      break;
    }
    const entry = next.value;
    if (!isJsonObject(entry)) {
      throw malformed(http, what, "an entry is no object");
    }
    if (entry.type !== "file") {
      continue;
    }
    const { path: name, size, oid, lfs } = entry;
    // What cannot be a plain file name is nothing that a model needs.
    if (!isPlainName(name)) {
      continue;
    }
    const hash = contentHash(String(lfs?.oid ?? oid));
    if (hash === undefined || !Number.isSafeInteger(size) || size < 0) {
      throw malformed(http, what, `"${name}" has no size or no hash`);
    }
    files.set(name, { name, size, hash });
  }
  return files;
}

/** The address of a file's content. */
export function contentUrl(http: HubHttp, id: string, commit: string, name: string): string {
  return `${http.endpoint}/${id}/resolve/${commit}/${encodeURIComponent(name)}`;
}

/** Names that Windows takes for a device, whatever their ending. */
const DEVICE_NAME = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i;

/**
 * Whether a name cannot leave its directory: it has no separator of any platform, no drive, no control character and
 * nothing that Windows cuts off the end, and it is no device and neither "." nor "..".
 */
export function isPlainName(name: unknown): name is string {
  return (
    typeof name === "string" &&
    /^[^/\\:\p{Cc}]*[^/\\:\p{Cc}. ]$/u.test(name) &&
    !DEVICE_NAME.test(name) &&
    name.length <= 255
  );
}

function fetchFor(http: HubHttp, subject: Parameters<HubHttp["fetchWhole"]>[2]): typeof fetch {
  let pages = 0;
  return async (input, init = {}) => {
    pages += 1;
    if (pages > MAX_PAGES) {
      throw malformed(http, subject.what, `it goes on after ${MAX_PAGES} pages`);
    }
    const url = typeof input === "string" ? input : input instanceof URL ? input.href : input.url;
    const response = await http.fetchWhole(url, init, subject);
    const type = response.headers.get("content-type") ?? "";
    if (type.startsWith("application/json")) {
      return response;
    }
    throw malformed(http, subject.what, `the answer is ${type === "" ? "of no type" : type}; expected JSON`);
  };
}

/**
 * What `ask` resolves to. What the library throws by itself is about an answer that it does not understand.
 *
 * @throws ModelComposeError, AbortError
 */
async function named<T>(http: HubHttp, what: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof ModelComposeError) {
      throw error;
    }
    throw malformed(http, what, errorMessage(error), error);
  }
}

function malformed(http: HubHttp, what: string, problem: string, cause?: unknown): ModelComposeError {
  return new ModelComposeError(
    "download",
    `"${http.endpoint}" sent ${what} in a form that is not the hub's: ${problem}.`,
    {
      remedy: "Check that HF_ENDPOINT, if it is set, is the address of a hub.",
      cause,
    },
  );
}
