import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import type { ComposeDefinition } from "../compose/definition/definition.ts";

/** The absolute paths of a project's compose files, the same however they were named. */
export function projectFiles(files: readonly string[]): string[] {
  return files.map((file) => {
    try {
      return realpathSync.native(file);
    } catch {
      return file;
    }
  });
}

/** The text that stands for a project in the names of files. */
export function projectKey(files: readonly string[]): string {
  return digest(JSON.stringify(projectFiles(files))).slice(0, 16);
}

/**
 * A hash that is equal for definitions that mean the same, after the files were merged and the environment was read,
 * wherever in the files things stand.
 */
export function definitionHash(definition: ComposeDefinition): string {
  const { controller, components, workflows } = definition;
  return digest(JSON.stringify({ controller, components, workflows }, meaning));
}

function meaning(_key: string, value: unknown): unknown {
  if (isLocation(value)) {
    return undefined;
  }
  return value instanceof Map ? [...(value as Map<unknown, unknown>)] : value;
}

/** Whether a value says where in a file something stands. */
function isLocation(value: unknown): boolean {
  return typeof value === "object" && value !== null && "file" in value && "start" in value && "end" in value;
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
