/** How commands see, use and end the servers of their user; each server here is its control server. */
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { loadText } from "../../test/support/compose.ts";
import { until } from "../../test/support/http.ts";
import { temporaryDirectory } from "../../test/support/model-files.ts";
import { PacedModels } from "../../test/support/paced-models.ts";
import { ModelHost } from "../compose/model-host.ts";
import type { RunEvent } from "../compose/run/events.ts";
import { WorkflowService } from "../server/service.ts";
import { askServer, requestStop, runOnServer } from "./control-client.ts";
import { startControl, type Control } from "./control-server.ts";
import { readRegistrations, register, type Registration } from "./registration.ts";
import { runningServers, serversOf, silentServersOf, stopServer } from "./running-servers.ts";

const YAML = `component:
  type: model
  task: text-generation
  model: a/b
  prompt: "\${input.prompt}"
  max_output_length: "\${input.tokens as integer | 8}"
`;

async function all<T>(values: AsyncIterable<T>): Promise<T[]> {
  const read: T[] = [];
  for await (const value of values) {
    read.push(value);
  }
  return read;
}

const controls: Control[] = [];
beforeEach(() => vi.stubEnv("MODEL_COMPOSE_STATE_DIR", temporaryDirectory()));
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  controls.splice(0).forEach((control) => control.unref());
});

interface Started {
  readonly registration: Registration;
  readonly models: PacedModels;
  readonly service: WorkflowService;
  readonly stops: boolean[];
}

function registrationOf(
  control: Pick<Control, "id" | "port" | "token">,
  more: Partial<Registration> = {},
): Registration {
  return {
    id: control.id,
    version: "1",
    pid: 2 ** 22 + 1,
    startedAt: "2026-01-02T00:00:00.000Z",
    files: ["/x/model-compose.yml"],
    definitionHash: "",
    overrides: "{}",
    url: "http://127.0.0.1:1/api",
    shutdownMilliseconds: 1,
    controlPort: control.port,
    token: control.token,
    ...more,
  };
}

async function start(more: Partial<Registration> = {}): Promise<Started> {
  const models = new PacedModels();
  const service = new WorkflowService(loadText(YAML), new ModelHost(models.load));
  const stops: boolean[] = [];
  const control = await startControl(service, (now) => stops.push(now));
  controls.push(control);
  const registration = registrationOf(control, more);
  await register(registration);
  return { registration, models, service, stops };
}

/** A port on which nobody listens. */
async function deadPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const dead = async (id: string, more: Partial<Registration> = {}): Promise<Registration> => {
  const registration = registrationOf({ id, port: await deadPort(), token: "t" }, more);
  await register(registration);
  return registration;
};

describe("the servers that run", () => {
  test("are those that answer, oldest first; the others are forgotten", async () => {
    const young = await start({ startedAt: "2026-01-03T00:00:00.000Z" });
    const old = await start({ startedAt: "2026-01-01T00:00:00.000Z", files: ["/y/model-compose.yml"] });
    await dead("0123456789abcdef");
    const found = await runningServers();
    expect(found.map(({ registration }) => registration.id)).toEqual([
      old.registration.id,
      young.registration.id,
    ]);
    expect(found[0]?.info).toMatchObject({ id: old.registration.id, running: 0, waiting: 0 });
    expect((await readRegistrations()).map(({ id }) => id)).not.toContain("0123456789abcdef");
    expect((await serversOf(["/y/model-compose.yml"])).map(({ registration }) => registration.id)).toEqual([
      old.registration.id,
    ]);
    expect(await serversOf(["/x/model-compose.yml", "/y/model-compose.yml"])).toEqual([]);
    expect(await silentServersOf(["/x/model-compose.yml"])).toEqual([]);
  });

  test("know their files however they are named", async () => {
    const folder = temporaryDirectory();
    writeFileSync(join(folder, "model-compose.yml"), YAML);
    const { registration } = await start({ files: [join(folder, "model-compose.yml")] });
    expect(await serversOf([join(folder, ".", "model-compose.yml")])).toMatchObject([{ registration }]);
  });

  test("who does not know the secret sees none", async () => {
    const { registration } = await start();
    expect(await askServer({ ...registration, token: "wrong" })).toBe("gone");
  });
});

describe("a server is ended", () => {
  test("by being asked, with or without waiting for its runs", async () => {
    const { registration, stops } = await start();
    await requestStop(registration, false);
    await requestStop(registration, true);
    expect(stops).toEqual([false, true]);
  });

  test("that is gone already is forgotten, and nobody is killed", async () => {
    const kill = vi.spyOn(process, "kill");
    const registration = await dead("fedcba9876543210");
    const options = { signal: new AbortController().signal, now: false, timeoutMilliseconds: 0 };
    expect(await stopServer({ registration } as Parameters<typeof stopServer>[0], options)).toBe(false);
    expect(kill).not.toHaveBeenCalled();
    expect(await readRegistrations()).toEqual([]);
  });

  test("that does not end in time is killed, once; a caller who leaves stops waiting", async () => {
    const { registration, stops } = await start({ pid: 12_345 });
    const server = { registration } as Parameters<typeof stopServer>[0];
    const leave = new AbortController();
    const kills: unknown[] = [];
    vi.spyOn(process, "kill").mockImplementation((pid, signal) => {
      kills.push([pid, signal]);
      setTimeout(() => leave.abort(), 200);
      return true;
    });
    const ended = stopServer(server, { signal: leave.signal, now: true, timeoutMilliseconds: 20 });
    await expect(ended).rejects.toMatchObject({ code: "aborted" });
    expect(kills).toEqual([[12_345, "SIGKILL"]]);
    expect(stops).toEqual([true]);
  });

  test("that may not be killed says so", async () => {
    const { registration } = await start({ pid: 12_345 });
    vi.spyOn(process, "kill").mockImplementation(() => {
      throw Object.assign(new Error("no"), { code: "EPERM" });
    });
    const options = { signal: new AbortController().signal, now: false, timeoutMilliseconds: 0 };
    await expect(
      stopServer({ registration } as Parameters<typeof stopServer>[0], options),
    ).rejects.toMatchObject({
      code: "device",
      message: expect.stringContaining("The server with the process id 12345 does not end.") as string,
    });
  });
});

describe("a run on a server", () => {
  const signal = new AbortController().signal;
  const run = (prompt: unknown): { workflow: string; input: unknown } => ({
    workflow: "__default__",
    input: { prompt },
  });

  test("tells what happens, as the engine does here", async () => {
    const { registration } = await start();
    const events = await all(runOnServer(registration, run("x"), signal));
    expect(events.map(({ type }) => type)).toEqual(expect.arrayContaining(["text", "generation-ended"]));
    expect(events.at(-1)).toMatchObject({ type: "result" });
  });

  test("fails as it failed there", async () => {
    const { registration } = await start();
    await expect(
      all(runOnServer(registration, { workflow: "other", input: {} }, signal)),
    ).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining('no workflow "other"') as string,
    });
    const missing = all(runOnServer(registration, { workflow: "__default__" }, signal));
    await expect(missing).rejects.toMatchObject({ code: "invalid-input" });
  });

  test("ends when its reader leaves, or its signal fires", async () => {
    const { registration, models } = await start();
    models.words = 100_000;
    for await (const event of runOnServer(registration, run("x"), signal)) {
      if (event.type === "text") {
        break;
      }
    }
    await until("the run has ended", () => models.active === 0);
    const stop = new AbortController();
    const seen: RunEvent[] = [];
    const read = async (): Promise<void> => {
      for await (const event of runOnServer(registration, run("x"), stop.signal)) {
        seen.push(event);
        stop.abort(new Error("enough"));
      }
    };
    await expect(read()).rejects.toMatchObject({ code: "aborted" });
    expect(seen.length).toBeGreaterThan(0);
    await until("the run has ended", () => models.active === 0);
  });

  test("that the server cancels is no result", async () => {
    const { registration, models, service } = await start();
    models.words = 100_000;
    const read = all(runOnServer(registration, run("x"), signal));
    const ended = expect(read).rejects.toThrow("The server ended the run before it was done.");
    await until("it runs", () => models.written > 0);
    service.cancelAll();
    await ended;
  });

  test("on a server that is gone says how to go on", async () => {
    const registration = await dead("0123456789abcdef");
    await expect(all(runOnServer(registration, run("x"), signal))).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining("The server ended before the run did. Start it again") as string,
    });
    const aborted = all(runOnServer(registration, run("x"), AbortSignal.abort()));
    await expect(aborted).rejects.toMatchObject({ code: "aborted" });
  });

  test.each([
    ["no result", '{"type":"text","text":"x"}\n\n', "The server ended before the run did."],
    ["an error without a code", '{"type":"failed","message":"it broke"}\n', "it broke"],
  ])("that ends with %s has failed", async (_what, body, message) => {
    const server = createServer((_request, response) => response.end(body));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const registration = registrationOf({ id: "0123456789abcdef", port, token: "t" });
    await expect(all(runOnServer(registration, run("x"), signal))).rejects.toThrow(message);
    await new Promise((resolve) => server.close(resolve));
  });
});
