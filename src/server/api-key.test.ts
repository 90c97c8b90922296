import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { findApiKey } from "./api-key.ts";
import { secretTest } from "./guard.ts";

test("comes from the file's key, its key file, or the environment, in this order", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "model-compose-key-"));
  const apiKeyFile = path.join(folder, "key");
  await writeFile(apiKeyFile, "from-file\n");
  const environment = new Map([["MODEL_COMPOSE_API_KEY", "from-environment"]]);
  try {
    expect(await findApiKey({ apiKey: "from-key", apiKeyFile }, environment)).toBe("from-key");
    expect(await findApiKey({ apiKeyFile }, environment)).toBe("from-file");
    expect(await findApiKey({}, environment)).toBe("from-environment");
    expect(await findApiKey({}, new Map())).toBeUndefined();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test("an empty key protects nothing and is refused, and so is a file that is not there", async () => {
  await expect(findApiKey({}, new Map([["MODEL_COMPOSE_API_KEY", " "]]))).rejects.toThrow(
    "The API key in MODEL_COMPOSE_API_KEY is empty",
  );
  await expect(findApiKey({ apiKey: "a b" }, new Map())).rejects.toThrow("expected ASCII without spaces");
  await expect(
    findApiKey({ apiKeyFile: path.join(tmpdir(), "no", "such", "key") }, new Map()),
  ).rejects.toThrow("The API key's file cannot be read");
});

test("a secret is compared as a whole", () => {
  const isSecret = secretTest("s3cret");
  expect(["s3cret", "s3cre", "s3cret ", "S3CRET", ""].map(isSecret)).toEqual([
    true,
    false,
    false,
    false,
    false,
  ]);
});
