import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { startServer } from "../src/server/server.ts";
import { loadPageFiles } from "../src/webui/page-files.ts";
import { startWebUi, type WebUi } from "../src/webui/server.ts";
import { loadText } from "./support/compose.ts";
import { PacedModels } from "./support/paced-models.ts";

interface Call {
  readonly method: string;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

const calls: Call[] = [];
/** State of the answer that does not end by itself. */
let endless: { left: boolean } | undefined;

/** Stands in for the API and tells what reaches it. */
async function api(request: Request): Promise<Response> {
  const { method, url } = request;
  if (url.endsWith("/endless")) {
    const state: { left: boolean } = { left: false };
    endless = state;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode("first")),
      cancel: () => void (state.left = true),
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }
  calls.push({ method, url, headers: Object.fromEntries(request.headers), body: await request.text() });
  return Response.json({ detail: "teapot" }, { status: 418, headers: { "retry-after": "7" } });
}

const local = { host: "127.0.0.1", port: 0, api, needsKey: false };
let ui: WebUi;
const at = (path: string): string => new URL(path, ui.url).href;

beforeAll(async () => {
  ui = await startWebUi({ ...local, apiUrl: "http://127.0.0.1:8080/base" });
});
afterAll(() => ui.close());

describe("the page", () => {
  test("is small, and all of it is here", async () => {
    const html = await (await fetch(ui.url)).text();
    const references = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, name]) => name);
    expect(references.sort()).toEqual(["app.js", "icon.svg", "style.css", "theme.js"]);
    let bytes = gzipSync(html).length;
    for (const name of references) {
      const response = await fetch(at(name));
      expect(response.status).toBe(200);
      const content = await response.text();
      // Code may speak of addresses; that it asks none of them is the policy's, and a test's in a browser.
      if (name !== "app.js") {
        expect(content).not.toMatch(/https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
      }
      bytes += gzipSync(content).length;
    }
    // What stands between a person and the page.
    expect(bytes).toBeLessThan(65_000);
    let all = 0;
    for (const { gzipped } of (await loadPageFiles()).values()) {
      all += gzipped.length;
    }
    expect(all).toBeGreaterThan(bytes);
    expect(all).toBeLessThan(150_000);
  });

  test("allows nothing but its own files", async () => {
    const { headers } = await fetch(ui.url);
    const policy = headers.get("content-security-policy");
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self'");
    expect(policy).not.toContain("unsafe");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    const html = await (await fetch(ui.url)).text();
    expect(html).not.toMatch(/<style|<script>|\son\w+=|\sstyle=/);
  });

  test("is sent once while it does not change", async () => {
    const first = await fetch(at("app.js"));
    expect(first.headers.get("content-encoding")).toBe("gzip");
    const etag = first.headers.get("etag") ?? "";
    const again = await fetch(at("app.js"), { headers: { "if-none-match": etag } });
    expect(again.status).toBe(304);
  });

  test.each(["nothing.js", "../package.json", "..%2fpackage.json", "constructor"])(
    "%s is not",
    async (path) => {
      const response = await fetch(at("x").replace(/x$/, path));
      expect(response.status).toBe(404);
    },
  );
});

describe("the API", () => {
  test("gets requests under its own address, and its answers come back as they are", async () => {
    calls.length = 0;
    const body = JSON.stringify({ input: "ü" });
    const headers = {
      "content-type": "application/json",
      authorization: "Bearer k",
      origin: ui.url.replace(/\/$/, ""),
      "sec-fetch-site": "same-origin",
    };
    const response = await fetch(at("api/workflows/runs?a=b%2Fc"), { method: "POST", body, headers });
    expect(response.status).toBe(418);
    expect(response.headers.get("retry-after")).toBe("7");
    expect(await response.json()).toEqual({ detail: "teapot" });
    expect(calls).toEqual([
      {
        method: "POST",
        url: "http://127.0.0.1:8080/base/workflows/runs?a=b%2Fc",
        headers: expect.objectContaining({ host: "127.0.0.1:8080", authorization: "Bearer k" }) as unknown,
        body,
      },
    ]);
    expect(calls[0].headers).not.toHaveProperty("origin");
  });

  test("streams: what has come is here before the end, and who leaves ends it", async () => {
    const leave = new AbortController();
    const response = await fetch(at("api/endless"), { signal: leave.signal });
    const reader = response.body!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value as Uint8Array)).toBe("first");
    expect(endless?.left).toBe(false);
    leave.abort();
    await vi.waitFor(() => expect(endless?.left).toBe(true), { timeout: 10_000 });
  });

  test.each([
    ["pages of other origins", "127.0.0.1", "Origin: http://evil.example"],
    ["pages of other sites", "127.0.0.1", "Sec-Fetch-Site: cross-site"],
    ["names of others that lead here", "evil.example", "Accept: */*"],
  ])("is not for %s", async (_, host, header) => {
    calls.length = 0;
    const { hostname, port } = new URL(ui.url);
    const socket = connect(Number(port), hostname);
    socket.write(
      `POST /api/workflows/runs HTTP/1.1\r\nHost: ${host}:${port}\r\n${header}\r\nContent-Length: 0\r\n\r\n`,
    );
    const answer = await new Promise<string>((resolve) => {
      socket.once("data", (data) => resolve(data.toString()));
    });
    socket.destroy();
    expect(answer).toMatch(/^HTTP\/1\.1 403 /);
    expect(calls).toEqual([]);
  });
});

test("a port that is taken is said with the remedy", async () => {
  const port = Number(new URL(ui.url).port);
  const second = startWebUi({ ...local, port, apiUrl: "http://127.0.0.1:8080" });
  await expect(second).rejects.toThrow(/cannot listen on 127\.0\.0\.1:\d+: the port is in use\./);
});

test("listening for other machines warns, and says whether a key is wanted", async () => {
  const warnings: string[] = [];
  const startAt = async (host: string, needsKey: boolean): Promise<void> => {
    const onWarning = (message: string): unknown => warnings.push(message);
    const apiUrl = "http://127.0.0.1:8080";
    await (await startWebUi({ ...local, host, needsKey, apiUrl, onWarning })).close();
  };
  await startAt("127.0.0.1", false);
  expect(warnings).toEqual([]);
  await startAt("0.0.0.0", false);
  await startAt("0.0.0.0", true);
  expect(warnings).toEqual([
    expect.stringMatching(/web UI listens on 0\.0\.0\.0.*Anybody.*MODEL_COMPOSE_API_KEY/),
    expect.stringMatching(/web UI listens on 0\.0\.0\.0.*An API key is required\./),
  ]);
});

test("a key that the API wants is wanted behind the page too; health is for everybody", async () => {
  const environment = new Map([["MODEL_COMPOSE_API_KEY", "s3cret"]]);
  const definition = loadText(`component:
  type: model
  task: text-generation
  model: some/model
  action: { prompt: "\${input.prompt}" }
`);
  const server = await startServer(definition, { loadModel: new PacedModels().load, port: 0, environment });
  const page = await startWebUi({
    ...local,
    api: server.fetch,
    apiUrl: server.url,
    needsKey: server.needsKey,
  });
  try {
    await server.ready;
    const status = async (path: string, headers: Record<string, string> = {}): Promise<number> =>
      (await fetch(new URL(path, page.url), { headers })).status;
    expect(server.needsKey).toBe(true);
    expect(await status("/api/health")).toBe(200);
    expect(await status("/api/workflows")).toBe(401);
    expect(await status("/api/workflows", { authorization: "Bearer wrong" })).toBe(401);
    expect(await status("/api/workflows", { authorization: "Bearer s3cret" })).toBe(200);
  } finally {
    await page.close();
    await server.close({ timeoutMilliseconds: 0 });
  }
});
