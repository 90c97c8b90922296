import { expect, test } from "vitest";
import { Api } from "./api.ts";
import { Runner } from "./runner.ts";

const task = { task_id: "t", workflow_id: "w", created_at: "2026-01-01T00:00:00Z" };
const sse = (name: string, data: object): string => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

/** An API whose one task ends when it is cancelled; tells what it was asked. */
function fakeApi(cancelAnswer: () => Response = () => Response.json(task)) {
  const asked: string[] = [];
  let isCancelled = false;
  let end: () => void = () => undefined;
  const fetch = (url: string | URL | Request): Promise<Response> => {
    const path = url instanceof Request ? url.url : String(url);
    asked.push(path);
    if (path.endsWith("/cancel")) {
      const answer = cancelAnswer();
      if (answer.ok) {
        isCancelled = true;
        end();
      }
      return Promise.resolve(answer);
    }
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const write = (text: string): void => controller.enqueue(new TextEncoder().encode(text));
        write(sse("state", { ...task, status: "processing" }));
        end = () => {
          write(sse("state", { ...task, status: "cancelled" }));
          controller.close();
        };
        if (isCancelled) {
          end();
        }
      },
    });
    return Promise.resolve(new Response(body));
  };
  const api = new Api({ base: "", fetch, askKey: () => Promise.resolve(undefined) });
  return { api, asked };
}

test("a run is stopped once; one that has no task yet, as soon as it has", async () => {
  const { api, asked } = fakeApi();
  const runner = new Runner(api, { onChange: () => undefined });
  expect(runner.stop()).toBe(false);
  const begun = Promise.withResolvers<string>();
  const running = runner.run(0, () => begun.promise);
  expect([runner.isRunning, runner.stop(), runner.stop()]).toEqual([true, true, false]);
  expect(asked).toEqual([]);
  begun.resolve("t");
  const { state, task: id } = await running;
  expect([state.status, id, runner.isRunning]).toEqual(["cancelled", "t", false]);
  expect(asked.filter((path) => path.endsWith("/cancel"))).toEqual(["/tasks/t/cancel"]);
});

test("a run that cannot begin has failed; one that cannot be stopped may be stopped again", async () => {
  let refuses = true;
  const refusal = (): Response => Response.json({ detail: "Not now." }, { status: 503 });
  const { api } = fakeApi(() => (refuses ? refusal() : Response.json(task)));
  const problems: string[] = [];
  const told = Promise.withResolvers<void>();
  const onProblem = (message: string): void => {
    problems.push(message);
    told.resolve();
  };
  const tasks: string[] = [];
  const runner = new Runner(api, { onChange: () => undefined, onTask: (id) => tasks.push(id), onProblem });
  const { state, task: none } = await runner.run(0, () => Promise.reject(new Error("No.")));
  expect([state.error?.message, none]).toEqual(["Error: No.", undefined]);
  const running = runner.run(0, () => Promise.resolve("t"));
  await Promise.resolve();
  expect(runner.stop()).toBe(true);
  await told.promise;
  expect(problems).toEqual(["Not now."]);
  refuses = false;
  expect(runner.stop()).toBe(true);
  expect((await running).state.status).toBe("cancelled");
  expect(tasks).toEqual(["t"]);
});
