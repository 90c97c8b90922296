/** What is made of each answer to a request for a file's content: the server is a list of answers. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { sha256 } from "../../../test/support/fake-hub/fake-hub.ts";
import { temporaryDirectory } from "../../../test/support/model-files.ts";
import { fetchBlob } from "./fetch-blob.ts";
import { HubHttp, Transient, type Answer } from "./http.ts";

const content = Buffer.from("0123456789");

interface Reply {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  /** Whether the connection breaks behind the body. */
  readonly breaks?: boolean;
}

const limits = {
  attempts: 3,
  backoff: 0,
  maxBackoff: 0,
  maxRetryAfter: 0,
  stall: 1000,
  slow: 1000,
  leastBytes: 1,
};

/** A hub that gives the replies in turn, and keeps the headers that it was asked with. */
class Replies extends HubHttp {
  readonly asked: Record<string, string>[] = [];
  readonly notices: string[] = [];
  closed = 0;
  readonly #replies: readonly Reply[];

  constructor(replies: readonly Reply[]) {
    super({ endpoint: "https://hub.invalid", limits });
    this.#replies = replies;
  }

  override open(_url: string, init: RequestInit): Promise<Answer> {
    const { status = 200, headers = {}, body = "", breaks = false } = this.#replies[this.asked.length] ?? {};
    this.asked.push(Object.fromEntries(new Headers(init.headers)));
    async function* read(): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(Buffer.from(body));
      if (breaks) {
        throw new Transient("it broke");
      }
    }
    return Promise.resolve({
      status,
      headers: new Headers(headers),
      body: read(),
      close: () => (this.closed += 1),
    });
  }

  override notice(line: string): void {
    this.notices.push(line);
  }
}

interface Fetched {
  readonly http: Replies;
  readonly error: unknown;
  readonly content: string | undefined;
  readonly left: string | undefined;
  readonly reports: readonly number[];
}

/** Fetches a content, of which `here` is here already. */
async function fetched(replies: readonly Reply[], here?: string, whole = content): Promise<Fetched> {
  const folder = temporaryDirectory();
  const [path, incompletePath] = [join(folder, "blobs", "x"), join(folder, "blobs", "x.incomplete")];
  mkdirSync(join(folder, "blobs"));
  if (here !== undefined) {
    writeFileSync(incompletePath, here);
  }
  const http = new Replies(replies);
  const reports: number[] = [];
  const error: unknown = await fetchBlob({
    http,
    url: "https://hub.invalid/x",
    file: { name: "x", size: whole.length, hash: { kind: "sha256", hex: sha256(whole) } },
    subject: { id: "a/b", revision: "main", what: 'x of "a/b"' },
    path,
    incompletePath,
    onBytes: (done) => reports.push(done),
  }).catch((reason: unknown) => reason);
  const read = (file: string): string | undefined =>
    existsSync(file) ? readFileSync(file, "utf8") : undefined;
  return { http, error, content: read(path), left: read(incompletePath), reports };
}

const rest = (from: number, total: number | "*" = 10): Record<string, string> => ({
  "content-range": `bytes ${from}-9/${total}`,
});

describe("a file that is not here", () => {
  test("is asked for whole", async () => {
    const { http, error, content: got, left, reports } = await fetched([{ body: "0123456789" }]);
    expect([error, got, left]).toEqual([undefined, "0123456789", undefined]);
    expect(http.asked).toEqual([{}]);
    expect(http.closed).toBe(1);
    expect(reports).toEqual([0, 10]);
  });

  test.each<[string, Reply]>([
    ["the first range", { status: 206, headers: rest(0), body: "0123456789" }],
    ["the first range of an unknown whole", { status: 206, headers: rest(0, "*"), body: "0123456789" }],
    ["its length", { headers: { "content-length": "10" }, body: "0123456789" }],
    [
      "the length of what a compressor made of it",
      { headers: { "content-length": "7", "content-encoding": "gzip" }, body: "0123456789" },
    ],
  ])("may come with %s", async (_what, reply) => {
    expect(await fetched([reply])).toMatchObject({ error: undefined, content: "0123456789" });
  });

  test("goes on from where an answer broke, if it is still the same file", async () => {
    const etag = { etag: '"v1"' };
    const { http, content: got } = await fetched([
      { headers: etag, body: "0123", breaks: true },
      { status: 206, headers: { ...etag, ...rest(4) }, body: "456789" },
    ]);
    expect(got).toBe("0123456789");
    expect(http.asked[1]).toEqual({ range: "bytes=4-", "if-range": '"v1"' });
    expect(http.closed).toBe(2);
  });

  test("goes on without a condition where the validator is weak, or none", async () => {
    for (const etag of ['W/"v1"', "v1", '"v1" x']) {
      const { http, content: got } = await fetched([
        { headers: { etag }, body: "0123", breaks: true },
        { status: 206, headers: rest(4, "*"), body: "456789" },
      ]);
      expect(got).toBe("0123456789");
      expect(http.asked[1]).toEqual({ range: "bytes=4-" });
    }
  });

  test.each<[string, Reply]>([
    ["is another range", { status: 206, headers: rest(5), body: "56789" }],
    ["is a range of another whole", { status: 206, headers: rest(4, 12), body: "456789" }],
    ["is none", { status: 206, body: "456789" }],
    ["is nothing", { status: 416 }],
  ])("begins anew where the rest %s", async (_what, reply) => {
    const { http, content: got } = await fetched([
      { body: "0123", breaks: true },
      reply,
      { body: "0123456789" },
    ]);
    expect(got).toBe("0123456789");
    // What is here was dropped: the attempt after it has nothing to go on from.
    expect(http.asked.map(({ range }) => range)).toEqual([undefined, "bytes=4-", undefined]);
  });

  test("begins anew with a whole that comes in place of the rest", async () => {
    const {
      http,
      content: got,
      reports,
    } = await fetched([{ body: "xxxx", breaks: true }, { body: "0123456789" }]);
    expect(got).toBe("0123456789");
    expect(http.asked).toHaveLength(2);
    expect(reports).toEqual([0, 4, 0, 10]);
  });

  test.each<[string, Reply, RegExp]>([
    [
      "of another length",
      { headers: { "content-length": "11" }, body: "0123456789x" },
      /lists x of "a\/b" with 10 bytes, but sends 11\./,
    ],
    [
      "of another length by its range",
      { status: 206, headers: rest(0, 11) },
      /with 10 bytes, but sends 11\./,
    ],
    ["that is longer than it said", { body: "0123456789x" }, /more of x of "a\/b" than the 10 bytes it has/],
    [
      "that is damaged",
      { body: "012345678x" },
      /is damaged: its SHA-256 is [0-9a-f]{64}; expected [0-9a-f]{64}/,
    ],
  ])("is refused at once where it is one %s", async (_what, reply, message) => {
    const { http, error, content: got } = await fetched([reply]);
    expect(error).toMatchObject({ code: "download" });
    expect((error as Error).message).toMatch(message);
    expect(got).toBeUndefined();
    expect(http.asked).toHaveLength(1);
    expect(http.notices).toEqual([]);
  });

  test("is given up where every answer ends too soon", async () => {
    const { http, error } = await fetched([{}, {}, {}]);
    expect((error as Error).message).toContain(
      'x of "a/b" failed 3 times in a row: the connection ended before the file did',
    );
    expect(http.asked).toHaveLength(3);
  });

  test.each([
    [1024, 5],
    [1023, 3],
  ])("is asked for again as long as an attempt brings 1024 bytes: %d", async (bytes, requests) => {
    const long = "x".repeat(5000);
    const replies = Array.from({ length: 5 }, (_, i): Reply => ({
      status: i === 0 ? 200 : 206,
      headers: i === 0 ? {} : { "content-range": `bytes ${i * bytes}-4999/5000` },
      body: i === 4 ? long.slice(i * bytes) : long.slice(0, bytes),
      breaks: i < 4,
    }));
    const { http, content: got } = await fetched(replies, undefined, Buffer.from(long));
    expect(got).toBe(requests === 5 ? long : undefined);
    expect(http.asked).toHaveLength(requests);
  });
});

test("whose last answer breaks behind its end is here", async () => {
  const replies = [
    { body: "0123", breaks: true },
    { status: 206, headers: rest(4), breaks: true },
    { status: 206, headers: rest(4), body: "456789", breaks: true },
  ];
  expect(await fetched(replies)).toMatchObject({ error: undefined, content: "0123456789" });
});

describe("a file of which something is here", () => {
  test("whole needs no request", async () => {
    const { http, content: got, left, reports } = await fetched([], "0123456789");
    expect([got, left]).toEqual(["0123456789", undefined]);
    expect(http.asked).toEqual([]);
    expect(reports).toEqual([10]);
  });

  test("is asked for from there, without a condition: nobody knows what it was of", async () => {
    const {
      http,
      content: got,
      reports,
    } = await fetched([{ status: 206, headers: rest(4), body: "456789" }], "0123");
    expect(got).toBe("0123456789");
    expect(http.asked).toEqual([{ range: "bytes=4-" }]);
    expect(reports).toEqual([4, 10]);
  });

  test("longer than it begins anew", async () => {
    const { http, content: got } = await fetched([{ body: "0123456789" }], "0123456789x");
    expect(got).toBe("0123456789");
    expect(http.asked).toEqual([{}]);
  });

  test("that is not its beginning is fetched anew once, with a word", async () => {
    const wrong = { status: 206, headers: rest(4), body: "456789" };
    const good = await fetched([wrong, { body: "0123456789" }], "xxxx");
    expect(good).toMatchObject({ error: undefined, content: "0123456789" });
    expect(good.http.notices).toEqual([expect.stringContaining('What was there of x of "a/b" did not fit')]);
    const bad = await fetched([wrong, { body: "012345678x" }], "xxxx");
    expect((bad.error as Error).message).toContain("is damaged");
    expect([bad.content, bad.left]).toEqual([undefined, undefined]);
  });
});
