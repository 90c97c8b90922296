/** Tests of registrations: a file is believed under its own name only. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { temporaryDirectory } from "../../test/support/model-files.ts";
import { forget, readRegistrations, register, type Registration } from "./registration.ts";

let folder = "";
beforeEach(() => {
  folder = temporaryDirectory();
  vi.stubEnv("MODEL_COMPOSE_STATE_DIR", folder);
});
afterEach(() => vi.unstubAllEnvs());

function registration(id: string): Registration {
  return {
    id,
    version: "1",
    pid: 1,
    startedAt: "2026-01-01T00:00:00.000Z",
    files: ["/x/model-compose.yml"],
    definitionHash: "",
    overrides: "{}",
    url: "http://127.0.0.1:1/api",
    shutdownMilliseconds: 1,
    controlPort: 1,
    token: "t",
  };
}

const ID = "0123456789abcdef";

test("are written, read and removed", async () => {
  const remove = await register(registration(ID));
  expect(await readRegistrations()).toEqual([registration(ID)]);
  await forget({ id: ID });
  expect(await readRegistrations()).toEqual([]);
  await remove();
});

test("of another name, another kind or another content are none", async () => {
  const servers = path.join(folder, "servers");
  mkdirSync(servers);
  const write = (name: string, id: string): void =>
    writeFileSync(path.join(servers, name), JSON.stringify(registration(id)));
  // Whoever forgets it would remove what this id names.
  write(`${ID}.json`, "../../elsewhere");
  write("fedcba9876543210.json", ID);
  write("notes.json", "notes");
  writeFileSync(path.join(folder, "real.json"), JSON.stringify(registration("aaaaaaaaaaaaaaaa")));
  if (process.platform !== "win32") {
    symlinkSync(path.join(folder, "real.json"), path.join(servers, "aaaaaaaaaaaaaaaa.json"));
    execFileSync("mkfifo", [path.join(servers, "bbbbbbbbbbbbbbbb.json")]);
  }
  expect(await readRegistrations()).toEqual([]);
  expect(readdirSync(folder)).toContain("real.json");
});
