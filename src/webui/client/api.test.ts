import { describe, expect, test, vi } from "vitest";
import { Api, ApiError, readEvents } from "./api.ts";
import { followTask } from "./follow.ts";
import { RunState } from "./run-state.ts";

/** A body that comes in chunks of `size` bytes. */
function body(text: string, size: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  const bytes = new TextEncoder().encode(text);
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += size) {
        controller.enqueue(bytes.slice(at, at + size));
      }
      controller.close();
    },
  });
}

function event(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

const task = { task_id: "t", workflow_id: "w" };
const streamed = [
  event("state", { ...task, status: "processing" }),
  ": heartbeat\n\n",
  event("text", { generation: 0, text: "né\n😀", tokens: 2 }),
  event("something-new", {}),
  event("result", { ...task, status: "completed", output: "né\n😀" }),
].join("");

describe("events", () => {
  test.each([1, 3, 7, 10_000])("in chunks of %i bytes", async (size) => {
    const events = [];
    for await (const one of readEvents(body(streamed, size))) {
      events.push(one);
    }
    expect(events.map(({ type }) => type)).toEqual(["state", "text", "result"]);
    expect(events[1]?.data).toEqual({ generation: 0, text: "né\n😀", tokens: 2 });
  });

  test("who stops reading ends the body", async () => {
    let wasCancelled = false;
    const endless = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: (controller) => controller.enqueue(new TextEncoder().encode(event("text", {}))),
      cancel: () => void (wasCancelled = true),
    });
    for await (const one of readEvents(endless)) {
      expect(one.type).toBe("text");
      break;
    }
    await vi.waitFor(() => expect(wasCancelled).toBe(true));
  });
});

interface Seen {
  readonly url: string;
  readonly init: RequestInit;
}

/** An API that gives these answers, one after the other. */
function api(
  answers: (() => Response)[],
  key?: string,
): { api: Api; seen: Seen[]; asked: boolean[]; unreachable: () => number } {
  const seen: Seen[] = [];
  const asked: boolean[] = [];
  const fetcher = (url: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    seen.push({ url: new Request(url).url, init });
    const answer = answers.shift();
    if (answer === undefined) {
      return Promise.reject(new TypeError("fetch failed"));
    }
    return Promise.resolve(answer());
  };
  const askKey = (wasWrong: boolean): Promise<string | undefined> => {
    asked.push(wasWrong);
    return Promise.resolve(key);
  };
  let unreachable = 0;
  const onUnreachable = (): void => void unreachable++;
  const options = { base: "http://a/api", fetch: fetcher, askKey, onUnreachable };
  return { api: new Api(options), seen, asked, unreachable: () => unreachable };
}

const refusal = (status: number, detail: string, field?: string) => (): Response =>
  Response.json({ detail, field }, { status });

describe("requests", () => {
  test("a run is started without waiting for it", async () => {
    const server = api([() => Response.json({ ...task, status: "pending" })]);
    expect(await server.api.start("w", { prompt: "a" })).toMatchObject({ task_id: "t" });
    expect(server.seen[0]?.url).toBe("http://a/api/workflows/runs");
    expect(JSON.parse(server.seen[0]?.init.body as string)).toEqual({
      workflow_id: "w",
      input: { prompt: "a" },
      wait_for_completion: false,
    });
  });

  test("a refusal keeps the server's words and the field", async () => {
    const server = api([refusal(422, "prompt is missing. Give it.", "prompt")]);
    const failure = await server.api.start("w", {}).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ApiError);
    expect(failure).toMatchObject({ status: 422, message: "prompt is missing. Give it.", field: "prompt" });
  });

  test("a key is asked for when the server wants one, once for all, and again when it is wrong", async () => {
    const ok = (): Response => Response.json([]);
    const right = api([refusal(401, "key"), refusal(401, "key"), ok, ok, ok], "k");
    await Promise.all([right.api.workflows(), right.api.workflows()]);
    await right.api.workflows();
    expect(right.asked).toEqual([false]);
    const last = new Headers(right.seen.at(-1)?.init.headers);
    expect(last.get("authorization")).toBe("Bearer k");
    expect(right.api.usesKey).toBe(true);
    const wrong = api([refusal(401, "key"), refusal(401, "key"), ok], "k");
    await wrong.api.workflows();
    expect(wrong.asked).toEqual([false, true]);
  });

  test("without a key the refusal is the answer", async () => {
    const server = api([refusal(401, "A key is needed.")]);
    await expect(server.api.workflows()).rejects.toThrow("A key is needed.");
  });

  test("stopping what has ended is no error; no server is", async () => {
    await expect(api([refusal(409, "ended")]).api.cancel("t")).resolves.toBeUndefined();
    await expect(api([refusal(404, "unknown")]).api.cancel("t")).rejects.toThrow("unknown");
    await expect(api([]).api.cancel("t")).rejects.toMatchObject({ status: 0 });
    expect(await api([]).api.health()).toEqual({ status: "unreachable" });
  });

  test("who finds that nobody answers tells it, and nothing else", async () => {
    for (const answers of [[], [refusal(502, "bad gateway")], [refusal(504, "timeout")]]) {
      const server = api(answers);
      await expect(server.api.workflows()).rejects.toThrow();
      expect(server.unreachable()).toBe(1);
    }
    const refused = api([refusal(503, "loading")]);
    await expect(refused.api.workflows()).rejects.toThrow("loading");
    expect(refused.unreachable()).toBe(0);
  });

  test("the state of a server that a proxy answers for is that it does not answer", async () => {
    expect(await api([refusal(502, "bad gateway")]).api.health()).toEqual({ status: "unreachable" });
    expect(await api([() => Response.json({ status: "ok" })]).api.health()).toEqual({ status: "ok" });
  });
});

describe("following a task", () => {
  const stream = (text: string) => (): Response => new Response(body(text, 1000));
  const options = { onChange: () => undefined, now: () => 0, retryDelay: 0 };

  test("through a connection that breaks, from the first event again", async () => {
    const half = event("text", { generation: 0, text: "n", tokens: 1 });
    const state = new RunState(0);
    await followTask(api([stream(half), stream(streamed)]).api, "t", state, options);
    expect(state.output).toEqual({ value: "né\n😀" });
    expect(state.texts).toEqual([{ generation: 0, text: "né\n😀" }]);
  });

  test("to the server's word that there is no such task", async () => {
    const state = new RunState(0);
    await followTask(api([refusal(404, "Task not found.")]).api, "t", state, options);
    expect(state).toMatchObject({ status: "failed", error: { message: "Task not found." } });
  });

  test("not for ever when the server is gone", async () => {
    const server = api([]);
    const state = new RunState(0);
    await followTask(server.api, "t", state, options);
    expect(state.error?.message).toMatch(/does not answer/);
    expect(server.seen).toHaveLength(30);
  });
});
