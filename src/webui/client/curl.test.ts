import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { curlCommand, type CurlRequest } from "./curl.ts";

const nasty = 'it\'s "quoted" \\ $HOME `id` %PATH% & | < > ^ ! \n é 😀 \\"';
const request: CurlRequest = {
  url: "http://127.0.0.1:8081/api/workflows/runs",
  body: { workflow_id: "w", input: { prompt: nasty } },
  needsKey: false,
  streams: false,
};

test.skipIf(process.platform === "win32")("a shell hands curl exactly the request", () => {
  const command = curlCommand({ ...request, needsKey: true, streams: true }, "posix");
  const script = `curl() { for argument in "$@"; do printf '%s\\0' "$argument"; done; }\n${command}`;
  const environment = { MODEL_COMPOSE_API_KEY: "secret" };
  const output = execFileSync("/bin/sh", ["-c", script], { env: environment, encoding: "utf8" });
  const args = output.split("\0").slice(0, -1);
  expect(args.slice(0, 7)).toEqual([
    "-N",
    request.url,
    "-H",
    "Content-Type: application/json",
    "-H",
    "Authorization: Bearer secret",
    "-d",
  ]);
  expect(JSON.parse(args[7])).toEqual(request.body);
});

test("on Windows nothing is left that cmd.exe or a code page would change", () => {
  const command = curlCommand(request, "cmd");
  expect(command).toMatch(/^curl "http[^"]*" -H "[^"]*" -d "/);
  const [, quoted = ""] = /-d "(.*)"$/.exec(command) ?? [];
  expect(quoted).not.toMatch(/[^ -~]|[&|<>^%!]/);
  // CommandLineToArgvW: 2n backslashes and a quotation mark are n backslashes.
  const argument = quoted.replaceAll(
    /(\\*)"/g,
    (_, slashes: string) => `${"\\".repeat(slashes.length >> 1)}"`,
  );
  expect(JSON.parse(argument)).toEqual(request.body);
});

test("the key stays in the environment", () => {
  expect(curlCommand({ ...request, needsKey: true }, "posix")).toContain('Bearer $MODEL_COMPOSE_API_KEY"');
  expect(curlCommand({ ...request, needsKey: true }, "cmd")).toContain('Bearer %MODEL_COMPOSE_API_KEY%"');
});
