/** Whose requests a server takes. */
import { hostname } from "node:os";
import { Hono } from "hono";
import { describe, expect, test } from "vitest";
import { exposure, isLoopback, requireKey, requireKnownCaller, urlHost, type GuardOptions } from "./guard.ts";
import { HttpError } from "./http-error.ts";

function app(...handlers: Parameters<Hono["use"]>[1][]): Hono {
  const server = new Hono();
  for (const handler of handlers) {
    server.use("*", handler);
  }
  server.onError((error, context) =>
    error instanceof HttpError
      ? new Response(error.message, { status: error.status, headers: error.headers })
      : context.text("fault", 500),
  );
  return server.all("*", (context) => context.text("good"));
}

async function answer(options: Partial<GuardOptions>, headers: Record<string, string>): Promise<string> {
  const guarded = app(requireKnownCaller({ host: "127.0.0.1", origins: [], ...options }));
  const response = await guarded.request("http://x/", { headers });
  return response.status === 200 ? "good" : `${response.status} ${await response.text()}`;
}

describe("the name that a server is called by", () => {
  test.each<[Partial<GuardOptions>, string]>([
    [{}, "localhost"],
    [{}, "LocalHost:8080"],
    [{}, "127.0.0.1:80"],
    [{}, "[::1]:8080"],
    [{ host: "10.0.0.7" }, "10.0.0.7:8080"],
    [{ host: "fe80::1" }, "[fe80::1]:8080"],
    [{ allowedHosts: ["Models.Example"] }, "models.example:443"],
    [{ host: "0.0.0.0" }, "192.168.1.4:8080"],
    [{ host: "::" }, "[2001:db8::1]:8080"],
    [{ host: "::" }, `${hostname()}:8080`],
  ])("of %j may be %s", async (options, host) => {
    expect(await answer(options, { host })).toBe("good");
  });

  test.each<[Partial<GuardOptions>, string]>([
    [{}, "evil.example"],
    [{}, "192.168.1.4"],
    [{}, "localhost.evil.example:8080"],
    [{}, ""],
    [{ host: "10.0.0.7" }, "10.0.0.8"],
    [{ host: "10.0.0.7" }, hostname()],
    [{ host: "0.0.0.0" }, "evil.example"],
    [{ allowedHosts: ["models.example"] }, "www.models.example"],
  ])("of %j is not %s", async (options, host) => {
    const name = host.replace(/:\d+$/, "").toLowerCase();
    expect(await answer(options, { host })).toBe(`403 The host "${name}" is not one of this server's names.`);
  });
});

describe("the pages that use a server", () => {
  const host = "localhost:8080";

  test.each<[Partial<GuardOptions>, Record<string, string>]>([
    [{}, {}],
    [{}, { origin: "http://localhost:8080" }],
    [{}, { "sec-fetch-site": "same-origin" }],
    [{}, { "sec-fetch-site": "none" }],
    [{ origins: ["https://a.example"] }, { origin: "https://a.example", "sec-fetch-site": "cross-site" }],
    [{ origins: ["*"] }, { origin: "https://a.example" }],
    [{ origins: ["*"] }, { "sec-fetch-site": "cross-site" }],
    [{ ownOrigins: ["http://localhost:8081"] }, { origin: "http://localhost:8081" }],
  ])("%j: %j may", async (options, headers) => {
    expect(await answer(options, { host, ...headers })).toBe("good");
  });

  test.each<[Partial<GuardOptions>, Record<string, string>, string]>([
    [{}, { origin: "https://a.example" }, "Pages of https://a.example may not use this server"],
    [{}, { origin: "http://localhost:8081" }, "Pages of http://localhost:8081 may not"],
    [{}, { origin: "null" }, "Pages of null may not"],
    [{ origins: ["https://a.example"] }, { origin: "https://b.example" }, "origins does not list them"],
    [{}, { "sec-fetch-site": "cross-site" }, "Pages of other sites may not use this server."],
  ])("%j: %j may not", async (options, headers, message) => {
    expect(await answer(options, { host, ...headers })).toMatch(/^403 /);
    expect(await answer(options, { host, ...headers })).toContain(message);
  });
});

test("a key is given as one of two headers, where a path wants it", async () => {
  const guarded = app(requireKey("secret", (path) => path === "/health"));
  const status = async (path: string, headers: Record<string, string> = {}): Promise<number> =>
    (await guarded.request(`http://x${path}`, { headers })).status;
  expect(await status("/health")).toBe(200);
  expect(await status("/")).toBe(401);
  expect(await status("/", { authorization: "Bearer secret" })).toBe(200);
  expect(await status("/", { authorization: "bearer   secret" })).toBe(200);
  expect(await status("/", { "x-api-key": "secret" })).toBe(200);
  for (const authorization of [
    "secret",
    "Basic secret",
    "Bearer secre",
    "Bearer secret2",
    "xBearer secret",
  ]) {
    expect(await status("/", { authorization }), authorization).toBe(401);
  }
  expect(await status("/", { "x-api-key": "" })).toBe(401);
  const refused = await guarded.request("http://x/");
  expect(refused.headers.get("www-authenticate")).toBe("Bearer");
});

test("who reaches a server, and what is said of it", () => {
  for (const host of ["localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"]) {
    expect(isLoopback(host), host).toBe(true);
    expect(exposure("API", host, false)).toBeUndefined();
  }
  for (const host of ["0.0.0.0", "::", "128.0.0.1", "127.0.0.1.example", "x127.0.0.1", "127.0.0"]) {
    expect(isLoopback(host), host).toBe(false);
  }
  expect(exposure("API", "::", true)).toBe(
    "The API listens on ::, for other machines too. An API key is required.",
  );
  expect(exposure("web UI", "0.0.0.0", false)).toMatch(/^The web UI .*Anybody who reaches it can use it/);
  expect([urlHost("::1"), urlHost("10.0.0.7"), urlHost("a.example")]).toEqual([
    "[::1]",
    "10.0.0.7",
    "a.example",
  ]);
});
