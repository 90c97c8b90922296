import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { BlockList } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import {
  eventsOf,
  loadFailure,
  loadText,
  runCompose,
  type Outcome,
} from "../../../../test/support/compose.ts";
import { ModelHost } from "../../model-host.ts";
import { Engine } from "../engine.ts";

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

type Handler = (request: Seen, response: ServerResponse) => void;

/** An outside API, served on this machine. */
class Api {
  readonly seen: Seen[] = [];
  handler: Handler = (_request, response) => response.end();
  #server: Server | undefined;
  open = 0;

  async start(): Promise<void> {
    const server = createServer((request, response) => {
      let body = "";
      this.open += 1;
      response.on("close", () => (this.open -= 1));
      request.setEncoding("utf8").on("data", (text: string) => (body += text));
      request.on("end", () => {
        const { method = "", url = "", headers } = request;
        this.seen.push({ method, url, headers, body });
        this.handler({ method, url, headers, body }, response);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.#server = server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server?.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
  }
}

const api = new Api();
const other = new Api();

beforeAll(async () => {
  await Promise.all([api.start(), other.start()]);
});
afterAll(async () => {
  await Promise.all([api.stop(), other.stop()]);
});
beforeEach(() => {
  for (const one of [api, other]) {
    one.seen.length = 0;
    one.handler = (_request, response) => response.end();
  }
});

function json(value: unknown, status = 200): Handler {
  return (_request, response) => {
    response.writeHead(status, { "content-type": "application/json; charset=utf-8" });
    response.end(JSON.stringify(value));
  };
}

function run(action: string, input: unknown = {}, more: { signal?: AbortSignal } = {}): Promise<Outcome> {
  const yaml = `component:
  type: http-client
  base_url: ${api.url}/v1/
${action.replace(/^/gm, "  ")}
workflow: { output: "\${output}" }
`;
  return runCompose(yaml, { input, ...more });
}

describe("requests", () => {
  test("JSON body, headers, parameters, path; the response through the output", async () => {
    api.handler = json({ choices: [{ message: { content: "Hello" } }] });
    const { result } = await run(
      `path: /chat/completions
headers: { Authorization: "Bearer \${input.key}" }
params: { a: "\${input.a}", list: [1, 2], none: "\${input.none}" }
body: { model: m, n: "\${input.n as integer}", messages: [{ role: user, content: "\${input.prompt}" }] }
output: { text: "\${response.choices[0].message.content}" }`,
      { key: "k", a: "x&y", n: "3", prompt: 'say "hi" \${input.key}' },
    );
    expect(result).toMatchObject({ output: { text: "Hello" }, streamed: false, generations: [] });
    const [seen] = api.seen;
    expect(seen).toMatchObject({ method: "POST", url: "/v1/chat/completions?a=x%26y&list=1&list=2" });
    expect(seen?.headers).toMatchObject({ authorization: "Bearer k", "content-type": "application/json" });
    expect(JSON.parse(seen?.body ?? "")).toEqual({
      model: "m",
      n: 3,
      messages: [{ role: "user", content: 'say "hi" ${input.key}' }],
    });
  });

  test("both dialects; several actions; headers of the action win", async () => {
    api.handler = json([1]);
    const yaml = `component:
  type: http-client
  base_url: ${api.url}
  headers: { X-A: component, X-B: component }
  actions:
    - { id: get, method: GET, path: things/\${input.id}, headers: { x-a: action } }
    - { id: put, method: PUT, endpoint: "${api.url}/put", body: "\${input.text}" }
workflows:
  - { id: g, default: true, action: get }
  - { id: p, action: put }
`;
    const { result } = await runCompose(yaml, { input: { id: "a/../b?c" } });
    expect(result.output).toEqual([1]);
    await runCompose(yaml, { workflow: "p", input: { text: "plain" } });
    const [get, put] = api.seen;
    // A value from the input stays in its segment.
    expect(get).toMatchObject({ method: "GET", url: "/things/a%2F..%2Fb%3Fc", body: "" });
    expect(get?.headers).toMatchObject({ "x-a": "action", "x-b": "component" });
    expect(put).toMatchObject({ method: "PUT", body: "plain" });
    expect(put?.headers["content-type"]).toContain("text/plain");
  });

  test("a form", async () => {
    await run(
      `path: /f\nheaders: { Content-Type: application/x-www-form-urlencoded }\nbody: { a: "\${input.a}", b: 1 }`,
      { a: "x y" },
    );
    expect(api.seen[0]?.body).toBe("a=x+y&b=1");
  });

  test("text is text, nothing is null", async () => {
    api.handler = (_request, response) => response.writeHead(200, { "content-type": "text/plain" }).end("5");
    expect((await run("path: /")).result.output).toBe("5");
    api.handler = (_request, response) => response.writeHead(204).end();
    expect((await run("path: /")).result.output).toBeNull();
  });

  test("a URL with a part missing is not sent", async () => {
    await expect(run("path: /users/${input.id}\nmethod: DELETE")).rejects.toMatchObject({
      code: "invalid-input",
      field: "id",
    });
    expect(api.seen).toEqual([]);
  });

  test.each([
    ["users/${input.id}/keys", ".."],
    ["users/${input.id}", "."],
    ["users/.${input.id}?all=1", "."],
    ["users/%2E${input.id}", "."],
    ["${input.id}/keys", ".."],
  ])("%s with %j does not reach another path", async (path, id) => {
    await expect(run(`path: "${path}"`, { id })).rejects.toMatchObject({
      code: "invalid-input",
      field: "id",
    });
    expect(api.seen).toEqual([]);
  });

  test("dots that stay in their place are sent; a value at the beginning of a path is a segment too", async () => {
    await run('path: "users/${input.id}?at=${input.id}"', { id: "..." });
    await run('path: "users/v${input.id}?at=${input.id}"', { id: ".." });
    await run('path: "${input.id}/keys"', { id: "../admin" });
    expect(api.seen.map(({ url }) => url)).toEqual([
      "/v1/users/...?at=...",
      "/v1/users/v..?at=..",
      "/v1/..%2Fadmin/keys",
    ]);
  });
});

describe("failures", () => {
  test("a status that is none of success, without the secrets of the request", async () => {
    api.handler = json({ error: "Incorrect API key: sk-1234567890" }, 401);
    const error: unknown = await run(
      `path: /x\nheaders: { Authorization: "Bearer \${input.key}" }\nparams: { key: "\${input.key}" }`,
      { key: "sk-1234567890" },
    ).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: "RemoteError", status: 401 });
    expect((error as Error).message).toContain(
      `POST ${api.url}/v1/x answered 401 Unauthorized: Incorrect API key: ….`,
    );
  });

  test("of an API that repeats what it was sent: only its own words are told on", async () => {
    const story = "Once upon a time there was a king who had a daughter, and nobody was to know of it.";
    api.handler = ({ url, headers, body }, response) =>
      json(
        {
          error: {
            message: `${String(headers["x-key"])} may not; ${url}; ${story.slice(7, 40)}`,
            body: JSON.parse(body) as unknown,
          },
        },
        400,
      )({ method: "", url, headers, body }, response);
    const error = (await run(
      'path: /x\nheaders: { X-Key: "\${input.key}" }\nparams: { token: "\${input.token}" }\nbody: { prompt: "\${input.story}", pin: "\${input.pin}" }',
      { key: "k3y7ab9", token: "tok en", story, pin: "0417" },
    ).catch((reason: unknown) => reason)) as Error;
    const cause = error.cause as Error;
    for (const text of [error.message, cause.message]) {
      expect(text).not.toMatch(/k3y7ab9|tok.en|king|daughter|0417/);
    }
    expect(error.message).toMatch(/answered 400 Bad Request: … may not; \/v1\/x\?token=…; .*…\.$/);
    expect(cause.message).toMatch(/^The answer begins: \{"error":\{"message":"…/);
  });

  test("of which nothing but the status is known: a page, an empty answer", async () => {
    api.handler = (_request, response) => response.writeHead(502).end("<html>secret</html>");
    const error = (await run("path: /x").catch((reason: unknown) => reason)) as Error;
    expect(error.message).toBe(`POST ${api.url}/v1/x answered 502 Bad Gateway.`);
    expect((error.cause as Error).message).toBe("The answer begins: <html>secret</html>");
    api.handler = (_request, response) => response.writeHead(503).end();
    await expect(run("path: /x")).rejects.toMatchObject({ cause: undefined });
  });

  test("only 200 to 299 is success; what leads elsewhere says where", async () => {
    for (const status of [300, 304, 400, 500]) {
      api.handler = (_request, response) => response.writeHead(status).end();
      await expect(run("path: /x")).rejects.toMatchObject({ name: "RemoteError", status });
    }
    for (const status of [200, 206, 299]) {
      api.handler = json({ a: 1 }, status);
      await expect(run("path: /x")).resolves.toMatchObject({ result: { output: { a: 1 } } });
    }
  });

  test("a value that no header can carry is the input's fault", async () => {
    for (const name of ["a\nb", "漢"]) {
      await expect(run('path: /x\nheaders: { X-Name: "\${input.name}" }', { name })).rejects.toMatchObject({
        name: "WorkflowInputError",
        code: "invalid-input",
        message: expect.stringContaining("The value of the header X-Name") as string,
      });
    }
    expect(api.seen).toEqual([]);
  });

  test("nobody there", async () => {
    await expect(run("endpoint: http://127.0.0.1:1/x")).rejects.toThrow(
      /127\.0\.0\.1:1\/x failed: .*ECONNREFUSED/,
    );
  });

  test("what is said to be JSON and is not; what is neither JSON nor text", async () => {
    api.handler = (_request, response) =>
      response.writeHead(200, { "content-type": "application/json" }).end("{");
    await expect(run("path: /")).rejects.toThrow("but it is not");
    api.handler = (_request, response) => response.writeHead(200, { "content-type": "image/png" }).end("x");
    await expect(run("path: /")).rejects.toThrow("The answer is image/png");
  });

  test("an answer that breaks off", async () => {
    api.handler = (_request, response) => {
      response.writeHead(200, { "content-type": "application/json", "content-length": "100" });
      response.write("{");
      setTimeout(() => response.destroy(), 10);
    };
    await expect(run("path: /")).rejects.toMatchObject({ name: "RemoteError" });
  });

  test("retry tries again", async () => {
    api.handler = (request, response) =>
      json({ n: api.seen.length }, api.seen.length < 3 ? 503 : 200)(request, response);
    const yaml = `component: { type: http-client, endpoint: "${api.url}" }\nworkflow: { retry: 3 }\n`;
    expect((await runCompose(yaml, { input: {} })).result.output).toEqual({ n: 3 });
  });

  test("a timeout, and a signal, end the connection", async () => {
    api.handler = () => undefined;
    await expect(run("path: /\ntimeout: 50ms")).rejects.toThrow("did not end within its timeout of 0.05 s");
    const controller = new AbortController();
    const running = run("path: /", {}, { signal: controller.signal });
    setTimeout(() => controller.abort(), 50);
    await expect(running).rejects.toMatchObject({ code: "aborted" });
    await expect.poll(() => api.open).toBe(0);
  });
});

describe("redirects of a public host", () => {
  afterEach(() => vi.restoreAllMocks());

  test("do not lead inside, by an address or by a name, unless the file allows it", async () => {
    // On this machine every address is private; the API's is taken for a public one.
    vi.spyOn(BlockList.prototype, "check").mockImplementation((address) => address !== "127.0.0.1");
    for (const target of [
      "http://127.0.0.2:1/",
      "http://[::1]:1/",
      "http://169.254.169.254/latest/meta-data",
    ]) {
      api.handler = (_request, response) => response.writeHead(302, { location: target }).end();
      await expect(run("path: /x")).rejects.toThrow(
        /failed: a redirect of a public host leads to .*allow_private_redirects/,
      );
    }
    // The name is looked up, and what it gives is looked at.
    vi.spyOn(BlockList.prototype, "check").mockImplementation(() => {
      checks += 1;
      return checks > 1;
    });
    let checks = 0;
    api.handler = (_request, response) =>
      response.writeHead(302, { location: other.url.replace("127.0.0.1", "localhost") }).end();
    await expect(run("path: /x")).rejects.toThrow("a redirect of a public host leads to localhost");
    expect(other.seen).toEqual([]);
  });

  test("lead anywhere where the file allows it, and where the first host is inside itself", async () => {
    api.handler = (_request, response) => response.writeHead(302, { location: `${other.url}/there` }).end();
    other.handler = json({ at: "other" });
    expect((await run("path: /x")).result.output).toEqual({ at: "other" });
    vi.spyOn(BlockList.prototype, "check").mockImplementationOnce(() => false);
    const yaml = `component: { type: http-client, endpoint: "${api.url}", allow_private_redirects: true }\n`;
    expect((await runCompose(yaml, { input: {} })).result.output).toEqual({ at: "other" });
  });
});

describe("redirects", () => {
  const to =
    (location: string, status = 302): Handler =>
    (request, response) => {
      if (request.url.startsWith("/v1")) {
        response.writeHead(status, { location }).end();
      } else {
        json({ at: request.url })(request, response);
      }
    };

  test("on the same host, headers go on; 307 keeps method and body", async () => {
    api.handler = to("/there");
    const action = "path: /x\nheaders: { Authorization: secret }\nbody: { a: 1 }";
    expect((await run(action)).result.output).toEqual({ at: "/there" });
    expect(api.seen[1]).toMatchObject({ method: "GET", body: "", headers: { authorization: "secret" } });
    api.handler = to("/there", 307);
    await run(action);
    expect(api.seen[3]).toMatchObject({ method: "POST", body: '{"a":1}' });
  });

  test("another host gets no credentials", async () => {
    api.handler = to(`${other.url}/there`);
    other.handler = json({ other: true });
    const action =
      "path: /x\nmethod: GET\nheaders: { Authorization: secret, X-Api-Key: secret, Cookie: c, Accept: application/json }";
    expect((await run(action)).result.output).toEqual({ other: true });
    const [seen] = other.seen;
    expect(seen?.headers.accept).toBe("application/json");
    expect(JSON.stringify(seen)).not.toContain("secret");
    expect(seen?.headers.cookie).toBeUndefined();
  });

  test("another host gets no body", async () => {
    api.handler = to(`${other.url}/there`, 307);
    await expect(run("path: /x\nbody: { a: 1 }")).rejects.toThrow("a POST is not sent on to another host");
    expect(other.seen).toEqual([]);
  });

  test("not for ever, and only over HTTP", async () => {
    api.handler = to("/v1/again");
    await expect(run("path: /x\nmethod: GET")).rejects.toThrow("redirects more than 10 times");
    api.handler = to("file:///etc/passwd");
    await expect(run("path: /x")).rejects.toThrow("not an HTTP URL");
  });
});

describe("event streams", () => {
  const stream =
    (...events: string[]): Handler =>
    (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      for (const event of events) {
        response.write(event);
      }
      response.end();
    };
  const chat = ["Hel", "lo\n", " \u{1F43B}"].map(
    (content) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`,
  );
  const openAi = `path: /chat/completions
body: { stream: true }
stream_format: json
output: \${response[].choices[0].delta.content}`;

  test("of an OpenAI-compatible engine: pieces are the workflow's output", async () => {
    const role = 'data: {"choices":[{"delta":{"role":"assistant"}}]}\r\n\r\n';
    api.handler = stream(": hello\n\n", role, ...chat, "data: [DONE]\n\n");
    const { result, events } = await run(openAi);
    expect(result).toMatchObject({ streamed: true, output: "Hello\n \u{1F43B}" });
    expect(eventsOf(events, "output").map(({ value }) => value)).toEqual(["Hel", "lo\n", " \u{1F43B}"]);
    expect(
      eventsOf(events, "text")
        .map(({ text }) => text)
        .join(""),
    ).toBe("Hello\n \u{1F43B}");
    expect(eventsOf(events, "generation-ended")).toEqual([
      { type: "generation-ended", generation: 0, record: undefined },
    ]);
  });

  test("joined inside an object; as they are without an output", async () => {
    api.handler = stream(...chat);
    const yaml = `component:
  type: http-client
  base_url: ${api.url}
${openAi.replace(/^/gm, "  ")}
workflow: { output: { text: "\${output}" } }
`;
    expect((await runCompose(yaml, { input: {} })).result).toMatchObject({
      streamed: false,
      output: { text: "Hello\n \u{1F43B}" },
    });
    api.handler = stream("data: a\n\n", "data: b\ndata: c\n\n");
    expect((await run("path: /")).result.output).toBe("ab\nc");
    api.handler = stream('data: {"a":1}\n\n', "data: 2\n\n");
    expect((await run("path: /\nstream_format: json")).result.output).toEqual([{ a: 1 }, 2]);
  });

  test("a character cut in two, and a stream that breaks off", async () => {
    const cut =
      (end: (response: ServerResponse) => void): Handler =>
      (_request, response) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        const bytes = Buffer.from("data: \u{1F43B}\n\n");
        response.write(bytes.subarray(0, 8));
        setTimeout(() => response.write(bytes.subarray(8)), 20);
        setTimeout(() => end(response), 40);
      };
    api.handler = cut((response) => response.end());
    expect((await run("path: /")).result.output).toBe("\u{1F43B}");
    api.handler = cut((response) => response.destroy());
    await expect(run("path: /")).rejects.toMatchObject({ name: "RemoteError" });
  });

  test("a reader that leaves ends the connection", async () => {
    api.handler = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: a\n\n");
    };
    const yaml = `component: { type: http-client, endpoint: "${api.url}" }\nworkflow: { output: "\${output}" }\n`;
    const engine = new Engine(loadText(yaml), new ModelHost(() => Promise.reject(new Error("no model"))));
    for await (const event of engine.run({ input: {} })) {
      if (event.type === "output") {
        break;
      }
    }
    await expect.poll(() => api.open).toBe(0);
  });
});

describe("the file", () => {
  const file = (lines: string): string => `component:\n  type: http-client\n${lines.replace(/^/gm, "  ")}\n`;

  test.each([
    ["method: GET", 'has no "endpoint"'],
    ["path: /x", 'has a "path", but its component has no "base_url"'],
    ["base_url: http://a\npath: /x\nendpoint: http://b", 'has both "endpoint" and "path"'],
    ["endpoint: ftp://a", "must be a URL that begins with http:// or https://"],
    ["endpoint: a/b", "must be a URL"],
    ["endpoint: http://a\nmethod: FETCH", 'method "FETCH" is unknown'],
    ["endpoint: http://a\nheaders: { 'a b': x }", "Header name must be a valid HTTP token"],
    ['endpoint: http://a\nheaders: { a: "x\\ny" }', "Invalid character in header content"],
    ["endpoint: http://a\nheaders: { a: [x] }", "a header is a text"],
    ["endpoint: http://a\ncompletion: { type: polling }", '"completion" is known in model-compose'],
    ["endpoint: http://a\ntimeout: soon", '"timeout" must be seconds, or a text such as 500ms'],
    ["endpoint: http://a\nstream_format: xml", 'stream_format "xml" is unknown'],
    ["endpoint: http://a\noutput: ${result}", 'unknown source "result"'],
  ])("%s", (lines, message) => {
    expect(loadFailure(file(lines)).message).toContain(message);
  });

  test("headers are never shown", () => {
    const text = file(
      "endpoint: http://a\nheaders:\n  X-My-Own: very-secret\n  Authorization: \${inptu.key | very-secret}",
    );
    const { message } = loadFailure(text);
    expect(message).toContain('unknown source "inptu"');
    expect(message).not.toContain("very-secret");
  });
});
