/** Tests of when a transfer is tried again, on a clock of their own. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { HubHttp, Retries, Transient } from "./http.ts";

const pauses: number[] = [];
vi.mock("node:timers/promises", () => ({
  setTimeout: (milliseconds: number) => {
    pauses.push(milliseconds);
    return Promise.resolve();
  },
}));

beforeEach(() => {
  pauses.length = 0;
});

const limits = {
  attempts: 12,
  backoff: 1000,
  maxBackoff: 30_000,
  maxRetryAfter: 300_000,
  stall: 1,
  slow: 1,
  leastBytes: 1,
};

function retries(notices: string[] = []): Retries {
  const http = new HubHttp({
    endpoint: "https://hub.invalid",
    limits,
    onNotice: (line) => notices.push(line),
  });
  return new Retries(http, "the file");
}

test("pauses double, half of each by chance, up to a longest one; then it is over", async () => {
  const again = retries();
  for (let failure = 1; failure < limits.attempts; failure++) {
    await again.afterFailure(new Transient("no"));
    const most = Math.min(1000 * 2 ** (failure - 1), 30_000);
    expect(pauses[failure - 1]).toBeGreaterThanOrEqual(most / 2);
    expect(pauses[failure - 1]).toBeLessThanOrEqual(most);
  }
  await expect(again.afterFailure(new Transient("no"))).rejects.toMatchObject({
    code: "download",
    message: expect.stringContaining("Fetching the file failed 12 times in a row: no.") as string,
  });
});

test("what has arrived in between begins the count anew", async () => {
  const again = retries();
  for (let i = 0; i < 30; i++) {
    await again.afterFailure(new Transient("no"));
    again.progressed();
  }
  expect(Math.max(...pauses)).toBeLessThanOrEqual(1000);
});

test("a server may ask for a longer pause, up to a limit", async () => {
  const notices: string[] = [];
  const again = retries(notices);
  await again.afterFailure(new Transient("busy", { retryAfter: 60_000 }));
  expect(pauses).toEqual([60_000]);
  expect(notices).toEqual(["Fetching the file: busy; goes on in 60 s."]);
  await expect(again.afterFailure(new Transient("busy", { retryAfter: 300_001 }))).rejects.toThrow(
    "It asks to wait 301 seconds.",
  );
});

test("what trying again does not mend is thrown as it is", async () => {
  const error = new Error("a bug");
  await expect(retries().afterFailure(error)).rejects.toBe(error);
  expect(pauses).toEqual([]);
});

describe("a request", () => {
  const subject = { id: "org/name", revision: "main", what: "the file" };

  interface Asked {
    readonly url: string;
    readonly authorization: string | null;
  }

  /** Answers requests by their address. */
  function answering(
    answers: (url: string, count: number, signal: AbortSignal) => Response | Error,
  ): Asked[] {
    const asked: Asked[] = [];
    vi.stubGlobal("fetch", (url: URL, init: RequestInit) => {
      const headers = new Headers(init.headers);
      expect(headers.get("user-agent")).toBe("model-compose");
      expect(headers.get("accept-encoding")).toBe("identity");
      asked.push({ url: url.href, authorization: headers.get("authorization") });
      const answer = answers(url.href, asked.length, init.signal!);
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    });
    return asked;
  }

  function redirect(location: string, status = 302): Response {
    return new Response(null, { status, headers: { location } });
  }

  function http(stall = 60_000): HubHttp {
    return new HubHttp({
      endpoint: "https://hub.invalid",
      token: { value: "hf_secret", source: "HF_TOKEN" },
      limits: { ...limits, attempts: 2, stall, slow: 60_000 },
    });
  }

  const whole = async (url = "https://hub.invalid/a"): Promise<string> =>
    (await http().fetchWhole(url, { headers: { authorization: "Basic x" } }, subject)).text();

  afterEach(() => {
    vi.unstubAllGlobals();
    vi.unstubAllEnvs();
  });

  test.each([301, 302, 303, 307, 308])("follows %d, and shows its token to the hub alone", async (status) => {
    const asked = answering((url) =>
      url.endsWith("/a")
        ? redirect("/b", status)
        : url.endsWith("/b")
          ? redirect("https://storage.invalid/c", status)
          : new Response("content"),
    );
    expect(await whole()).toBe("content");
    expect(asked).toEqual([
      { url: "https://hub.invalid/a", authorization: "Bearer hf_secret" },
      { url: "https://hub.invalid/b", authorization: "Bearer hf_secret" },
      { url: "https://storage.invalid/c", authorization: null },
    ]);
  });

  test("follows ten redirects and no more", async () => {
    const endless = answering((url, count) => (count > 10 ? new Response("end") : redirect(`${url}a`)));
    expect(await whole()).toBe("end");
    expect(endless).toHaveLength(11);
    answering((url) => redirect(`${url}a`));
    await expect(whole()).rejects.toThrow("failed 2 times in a row: the server redirects more than 10 times");
  });

  test.each([
    [429, "the hub limits how often it is asked (429)"],
    [408, "the server answered 408"],
    [500, "the server answered 500"],
    [599, "the server answered 599"],
  ])("answered %d is tried again", async (status, reason) => {
    answering((_url, count) => (count === 1 ? new Response(null, { status }) : new Response("good")));
    expect(await whole()).toBe("good");
    answering(() => new Response(null, { status }));
    await expect(whole()).rejects.toThrow(reason);
  });

  test.each([400, 404, 410])("answered %d is not", async (status) => {
    const asked = answering(() => new Response(null, { status }));
    await expect(whole()).rejects.toMatchObject({ name: "ModelComposeError" });
    expect(asked).toHaveLength(1);
  });

  test("waits until the date that the server names", async () => {
    const inAMinute = new Date(Date.now() + 60_000).toUTCString();
    const asks = [inAMinute, "soon", "", new Date(0).toUTCString(), "2"];
    for (const retryAfter of asks) {
      answering((_url, count) =>
        count === 1
          ? new Response(null, { status: 503, headers: { "retry-after": retryAfter } })
          : new Response("good"),
      );
      await whole();
    }
    expect(pauses[0]).toBeGreaterThan(50_000);
    expect(pauses[0]).toBeLessThanOrEqual(60_000);
    for (const pause of pauses.slice(1, 4)) {
      expect(pause).toBeLessThanOrEqual(1000);
    }
    expect(pauses[4]).toBe(2000);
  });

  const failed = (code: string): Error =>
    new TypeError("fetch failed", { cause: Object.assign(new Error("no"), { code }) });

  test.each(["ECONNREFUSED", "ENOTFOUND", "UND_ERR_CONNECT_TIMEOUT"])(
    "to a host that has never answered is not tried again: %s",
    async (code) => {
      const asked = answering(() => failed(code));
      await expect(whole()).rejects.toThrow(
        `"org/name" cannot be fetched: there is no connection to the hub, "hub.invalid" (${code}).`,
      );
      expect(asked).toHaveLength(1);
    },
  );

  test("to one that has answered is, and so is one that broke", async () => {
    const hub = http();
    answering((_url, count) => (count === 2 ? failed("ECONNREFUSED") : new Response("good")));
    for (let request = 0; request < 2; request++) {
      const response = await hub.fetchWhole("https://hub.invalid/a", {}, subject);
      expect(await response.text()).toBe("good");
    }
    const asked = answering(() => failed("ECONNRESET"));
    await expect(whole()).rejects.toThrow('the connection to "hub.invalid" broke (ECONNRESET)');
    expect(asked).toHaveLength(2);
  });

  test("to several addresses fails with what the first did", async () => {
    const refused = Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
    answering(() => new TypeError("fetch failed", { cause: new AggregateError([refused, new Error("x")]) }));
    await expect(whole()).rejects.toThrow('"hub.invalid" (ECONNREFUSED).');
    answering(() => new TypeError("fetch failed", { cause: new AggregateError([], "all") }));
    await expect(whole()).rejects.toThrow("broke (all)");
  });

  test.each([
    "CERT_HAS_EXPIRED",
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    "ERR_TLS_X",
  ])("to a host whose certificate is not trusted says so: %s", async (code) => {
    const asked = answering(() => failed(code));
    await expect(whole()).rejects.toThrow(
      `The certificate of "hub.invalid" is not trusted (${code}). Behind a proxy`,
    );
    expect(asked).toHaveLength(1);
  });

  test("without a connection names a proxy that Node does not use", async () => {
    answering(() => failed("ECONNREFUSED"));
    const names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NODE_USE_ENV_PROXY"];
    const clear = (): void => names.forEach((name) => vi.stubEnv(name, ""));
    clear();
    await expect(whole()).rejects.toThrow("Check the network connection, and HF_ENDPOINT if it is set.");
    vi.stubEnv("http_proxy", "http://proxy");
    await expect(whole()).rejects.toThrow(
      "http_proxy is set, which Node only uses with NODE_USE_ENV_PROXY=1",
    );
    vi.stubEnv("NODE_USE_ENV_PROXY", "1");
    await expect(whole()).rejects.toThrow("Check the network connection");
  });

  test("that is ended by its caller is no failure of the hub", async () => {
    const stop = new AbortController();
    const hub = new HubHttp({ endpoint: "https://hub.invalid", limits, signal: stop.signal });
    const asked = answering(() => {
      stop.abort();
      return failed("ECONNRESET");
    });
    await expect(hub.open("https://hub.invalid/a", {}, subject)).rejects.toMatchObject({ code: "aborted" });
    await expect(hub.open("https://hub.invalid/a", {}, subject)).rejects.toMatchObject({ code: "aborted" });
    expect(asked).toHaveLength(1);
  });

  test("has no longer answer than is read whole", async () => {
    const piece = new Uint8Array(2 ** 24);
    const long = (count: number): Response =>
      new Response(
        new ReadableStream<Uint8Array>({
          pull(controller) {
            if (count-- > 0) {
              controller.enqueue(piece);
            } else {
              controller.close();
            }
          },
        }),
      );
    answering(() => long(5));
    await expect(whole()).rejects.toThrow(
      "Fetching the file: the hub answered with more than 67108864 bytes.",
    );
  });

  test.each<[string, number, number, number, boolean]>([
    ["just as much as is expected, for ever", 10, 50_000, 0, true],
    ["less in the time", 4, 50_000, 0, false],
    ["less, but not for as long", 4, 20_000, 0, true],
    ["less, to a reader who takes the time", 4, 1000, 80_000, true],
  ])("whose answer is %s", async (_what, bytes, pause, reading, isGood) => {
    let time = 0;
    vi.spyOn(performance, "now").mockImplementation(() => time);
    let left = 3;
    answering(
      (_url, _count, ended) =>
        new Response(
          new ReadableStream<Uint8Array>(
            {
              start(controller) {
                ended.addEventListener("abort", () => left >= 0 && controller.error(ended.reason));
              },
              pull(controller) {
                time += pause;
                if (left-- > 0) {
                  controller.enqueue(new Uint8Array(bytes));
                } else {
                  controller.close();
                }
              },
            },
            { highWaterMark: 0 },
          ),
        ),
    );
    const hub = new HubHttp({
      endpoint: "https://hub.invalid",
      limits: { ...limits, stall: 60_000, slow: 60_000, leastBytes: 10 },
    });
    const { body, close } = await hub.open("https://hub.invalid/a", {}, subject);
    const read = async (): Promise<number> => {
      let size = 0;
      for await (const part of body) {
        size += part.byteLength;
        time += reading;
      }
      return size;
    };
    if (isGood) {
      expect(await read()).toBe(3 * bytes);
    } else {
      await expect(read()).rejects.toMatchObject({
        name: "Transient",
        message: expect.stringContaining("sent less than 10 bytes in 60 seconds") as string,
      });
    }
    close();
    vi.restoreAllMocks();
  });
});
