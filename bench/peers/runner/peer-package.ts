/** Loads packages that are installed for this benchmark only. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ModelComposeError } from "../../../src/base/errors.ts";
import { isDirectory } from "../../../src/runtime/platform/files.ts";

const FOLDER = join(import.meta.dirname, "..");

/** Whether a package is installed. */
export function hasPeer(name: string): Promise<boolean> {
  return isDirectory(join(FOLDER, "node_modules", name));
}

/**
 * The module of a package.
 *
 * The name is a value, so that nobody who checks imports looks for a package that need not be there; nor are there types.
 *
 * @throws ModelComposeError "not-found" where it is not installed
 */
export async function loadPeer<Module>(name: string): Promise<Module> {
  if (!(await hasPeer(name))) {
    throw missingPeer(name);
  }
  const path = createRequire(join(FOLDER, "package.json")).resolve(name);
  return (await import(pathToFileURL(path).href)) as Module;
}

export function missingPeer(name: string): ModelComposeError {
  return new ModelComposeError("not-found", `${name} is not installed.`, { remedy: INSTALL });
}

/** What installs the packages. */
export const INSTALL = 'Run "npm install --prefix bench/peers".';
