import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { FakeModels, loadFailure, loadText } from "../../../test/support/compose.ts";
import { ModelHost } from "../model-host.ts";
import type { ModelComponent } from "./definition.ts";

function file(model: string): string {
  return `component: { type: model, task: text-generation, model: ${model}, text: x }`;
}

function component(model: string, env?: Record<string, string>): ModelComponent {
  const [first] = loadText(file(model), { env }).components;
  if (first.type !== "model") {
    throw new Error("expected a model");
  }
  return first;
}

describe("model: as a mapping", () => {
  test("names a repository and how it is fetched; values may come from the environment", () => {
    const env = { REVISION: "v1.0", HF_TOKEN: "hf_abc", OFFLINE: "true" };
    const mapping =
      "{ provider: huggingface, repository: org/name, revision: '${env.REVISION}', token: '${env.HF_TOKEN}', " +
      "cache_dir: ./cache, local_files_only: ${env.OFFLINE}, format: safetensors }";
    expect(component(mapping, env).model).toEqual({
      name: "org/name",
      source: "org/name",
      hub: {
        revision: "v1.0",
        token: "hf_abc",
        cacheDirectory: resolve("/project/cache"),
        localFilesOnly: true,
      },
    });
    expect(component("{ repository: org/name }").model).toEqual({ name: "org/name", source: "org/name" });
    expect(component("{ repository: org/name, cache_dir: ~/models }").model.hub).toEqual({
      cacheDirectory: join(homedir(), "models"),
    });
  });

  test("names a folder", () => {
    const expected = { name: "./model", source: resolve("/project/model") };
    expect(component("{ provider: local, path: ./model, format: pytorch }").model).toEqual(expected);
    expect(component("{ path: ./model }").model).toEqual(expected);
  });

  test("has no token where the variable for it is empty", () => {
    expect(
      component("{ repository: org/name, token: '${env.HF_TOKEN}' }", { HF_TOKEN: "" }).model.hub,
    ).toBeUndefined();
    expect(component("{ repository: org/name, token: \"${env.HF_TOKEN | ''}\" }").model.hub).toBeUndefined();
  });

  test.each([
    ["{ provider: local, path: ./m, revision: main }", '"revision" is for a repository, not for a folder.'],
    ["{ path: ./m, token: hf_secret }", '"token" is for a repository, not for a folder.'],
    ["{ provider: local, repository: org/name }", 'provider local takes "path", found "repository"'],
    ["{ repository: org/name, path: ./m }", 'has both "repository" and "path"'],
    ["{ revision: main }", 'has no "repository"'],
    ["{ repository: org/name, revision: ../../x }", 'The revision "../../x" is not the name of a branch'],
    ["{ repository: org/name, revision: 5 }", '"revision" must be a text, found'],
    ["{ repository: org/name, local_files_only: maybe }", '"local_files_only" must be true or false'],
    ["{ repository: org/name, local_file_only: true }", 'Did you mean "local_files_only"?'],
    [
      "{ repository: org/name, filename: x.gguf }",
      '"filename" is known in model-compose, but not supported here.',
    ],
    [
      "{ repository: org/name, format: gguf }",
      'format "gguf" is known in model-compose, but not supported here.',
    ],
    ["{ provider: named, name: x }", 'provider "named" is known in model-compose'],
    ["{ repository: org/name, token: '${env.NOT_SET}' }", "NOT_SET"],
  ])("%s is an error", (mapping, message) => {
    const error = loadFailure(file(mapping));
    expect(error.message).toContain(message);
    expect(error.message).toContain("model-compose.yml:1:");
    expect(error.message).not.toContain("hf_secret");
  });
});

describe("the host of models", () => {
  test("hands on what the file says, and holds one model for each revision of a repository", async () => {
    const models = new FakeModels();
    const host = new ModelHost(models.load);
    const one = component("{ repository: org/name, revision: v1, token: hf_one }");
    await host.model(one);
    await host.model(component("{ repository: org/name, revision: v1, token: hf_two }"));
    await host.model(component("{ repository: org/name, revision: v2 }"));
    await host.dispose();
    expect(models.loads.map(({ source, options }) => [source, options.revision, options.token])).toEqual([
      ["org/name", "v1", "hf_one"],
      ["org/name", "v2", undefined],
    ]);
  });
});
