/** Tests of the door by which a user's other commands reach a server. */
import { afterEach, expect, test } from "vitest";
import { loadText } from "../../test/support/compose.ts";
import { call } from "../../test/support/http.ts";
import { PacedModels } from "../../test/support/paced-models.ts";
import { ModelHost } from "../compose/model-host.ts";
import { WorkflowService } from "../server/service.ts";
import { startControl, type Control } from "./control-server.ts";

const controls: Control[] = [];
afterEach(() => controls.splice(0).forEach((control) => control.unref()));

async function start(): Promise<{ control: Control; url: string; stops: boolean[] }> {
  const yaml = "component: { type: model, task: text-generation, model: a/b, prompt: '${input.prompt}' }\n";
  const service = new WorkflowService(loadText(yaml), new ModelHost(new PacedModels().load));
  const stops: boolean[] = [];
  const control = await startControl(service, (now) => stops.push(now));
  controls.push(control);
  return { control, url: `http://127.0.0.1:${control.port}`, stops };
}

test("nobody without the secret learns or does anything", async () => {
  const { control, url, stops } = await start();
  for (const authorization of [undefined, "Bearer wrong", `Bearer ${control.token}x`, control.id]) {
    const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
    for (const [method, path, body] of [
      ["GET", "/control", undefined],
      ["POST", "/control/stop", { now: true }],
      ["POST", "/control/runs", { workflow: "__default__", input: { prompt: "x" } }],
      ["GET", "/control/models", undefined],
      ["POST", "/control/questions", { component: "__component__", prompt: "x", options: {} }],
    ] as const) {
      const { status, text } = await call(method, url + path, { headers, body });
      expect([path, status]).toEqual([path, 401]);
      expect(text).not.toContain(control.id);
    }
  }
  expect(stops).toEqual([]);
});

test("whoever has it sees the server, uses it and ends it", async () => {
  const { control, url, stops } = await start();
  const headers = { authorization: `Bearer ${control.token}` };
  expect((await call("GET", `${url}/control`, { headers })).json).toMatchObject({
    id: control.id,
    running: 0,
    waiting: 0,
  });
  const run = await call("POST", `${url}/control/runs`, {
    headers,
    body: { workflow: "__default__", input: { prompt: "x" } },
  });
  expect(
    run.text
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { type: string }).type),
  ).toContain("result");
  await call("POST", `${url}/control/stop`, { headers, body: { now: false } });
  expect(stops).toEqual([false]);
});
