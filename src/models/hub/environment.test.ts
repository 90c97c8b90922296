/** What variables of the environment mean for the hub. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryDirectory } from "../../../test/support/model-files.ts";
import { expandHome, hubEndpoint, hubToken, offlineSetting } from "./environment.ts";
import { checkHubOptions } from "./options.ts";

describe("HF_ENDPOINT", () => {
  test.each([
    [undefined, "https://huggingface.co"],
    ["", "https://huggingface.co"],
    ["  ", "https://huggingface.co"],
    ["https://mirror.example", "https://mirror.example"],
    [" http://localhost:8080/hf// ", "http://localhost:8080/hf"],
  ])("%j is %s", (value, endpoint) => {
    expect(hubEndpoint({ HF_ENDPOINT: value })).toBe(endpoint);
  });

  test.each([
    ["mirror.example", 'found "mirror.example"'],
    ["ftp://mirror.example", 'found "ftp://mirror.example"'],
    ["https://mirror.example/?a=1", "found"],
    ["https://mirror.example/#a", "found"],
    ["https://me@mirror.example", "a name or a password is in it"],
    ["https://:word@mirror.example", "a name or a password is in it"],
  ])("%j is refused", (value, found) => {
    const error = (() => {
      try {
        return hubEndpoint({ HF_ENDPOINT: value });
      } catch (caught) {
        return caught as Error;
      }
    })();
    expect(error).toMatchObject({ code: "invalid-argument" });
    expect((error as Error).message).toContain(`HF_ENDPOINT is not the address of a hub: ${found}`);
    expect((error as Error).message).not.toContain("word@");
  });
});

describe("the network is forbidden", () => {
  test.each([
    [{ HF_HUB_OFFLINE: "1" }, "HF_HUB_OFFLINE=1"],
    [{ HF_HUB_OFFLINE: " yes" }, "HF_HUB_OFFLINE= yes"],
    [{ HF_HUB_OFFLINE: "True" }, "HF_HUB_OFFLINE=True"],
    [{ TRANSFORMERS_OFFLINE: "on" }, "TRANSFORMERS_OFFLINE=on"],
    [{ HF_HUB_OFFLINE: "", TRANSFORMERS_OFFLINE: "1" }, "TRANSFORMERS_OFFLINE=1"],
    [{ HF_HUB_OFFLINE: "0", TRANSFORMERS_OFFLINE: "1" }, undefined],
    [{ HF_HUB_OFFLINE: "false" }, undefined],
    [{}, undefined],
  ])("by %j: %s", (env, setting) => {
    expect(offlineSetting(env)).toBe(setting);
  });
});

test("only a tilde before a separator is the home folder", () => {
  const env = { HOME: "/home/u", USERPROFILE: "/home/u" };
  expect(expandHome("~", env)).toBe(join("/home/u"));
  expect(expandHome("~/a", env)).toBe(join("/home/u", "a"));
  expect(expandHome("~other/a", env)).toBe("~other/a");
  expect(expandHome("a/~/b", env)).toBe("a/~/b");
});

test("a token in a file is named by its path; what no token is, is refused by its place", async () => {
  const home = temporaryDirectory();
  mkdirSync(join(home, "hf"));
  writeFileSync(join(home, "hf", "token"), "hf_of_the_file\n");
  const env = { HF_HOME: join(home, "hf"), HF_TOKEN: " " };
  expect(await hubToken(undefined, env)).toEqual({
    value: "hf_of_the_file",
    source: `the file "${join(home, "hf", "token")}"`,
  });
  expect(await hubToken("  ", { ...env, HF_HUB_DISABLE_IMPLICIT_TOKEN: "no" })).toMatchObject({
    value: "hf_of_the_file",
  });
  for (const token of ["two words", "tökén", "a\u007fb"]) {
    await expect(hubToken(undefined, { ...env, HF_TOKEN: token })).rejects.toMatchObject({
      code: "invalid-argument",
      message: expect.stringContaining("(HF_TOKEN) holds spaces or characters") as string,
    });
  }
});

describe("options of the hub", () => {
  test.each([{}, { token: "" }, { revision: "v1", cacheDirectory: "/c", localFilesOnly: false }])(
    "%j will do",
    (options) => expect(() => checkHubOptions(options)).not.toThrow(),
  );

  test.each([
    [{ revision: "" }, "revision", /must be a text; found ''/],
    [{ revision: 5 }, "revision", /must be a text; found 5/],
    [{ cacheDirectory: " " }, "cacheDirectory", /must be a text/],
    [{ token: 12_345 }, "token", /^The option "token" must be a text\. Correct/],
    [{ localFilesOnly: "yes" }, "localFilesOnly", /must be true or false; found 'yes'/],
  ])("%j are refused", (options, parameter, message) => {
    expect(() => checkHubOptions(options as object)).toThrow(
      expect.objectContaining({
        code: "invalid-argument",
        parameter,
        message: expect.stringMatching(message) as string,
      }),
    );
  });
});
