/** Where editors find the JSON Schema of compose files. */
import path from "node:path";
import { fileURLToPath } from "node:url";

/** The schema's file, in the package and in the repository. */
const SCHEMA_FILE = "docs/model-compose.schema.json";

/**
 * The path of the schema as a compose file of a folder names it: relative, with slashes. Undefined where the program is
 * installed elsewhere than in the folder's project: a path of this machine would mean nothing on another.
 *
 * @param packageFolder absolute, as the folder. Default: the running program's
 */
export function schemaPath(folder: string, packageFolder = ownFolder()): string | undefined {
  const modules = `${path.sep}node_modules${path.sep}`;
  const at = packageFolder.lastIndexOf(modules);
  const project = at === -1 ? packageFolder : packageFolder.slice(0, at);
  const below = path.relative(project, folder);
  if (below.startsWith("..") || path.isAbsolute(below)) {
    return undefined;
  }
  const relative = path.relative(folder, path.join(packageFolder, SCHEMA_FILE)).replaceAll(path.sep, "/");
  return relative.startsWith(".") ? relative : `./${relative}`;
}

function ownFolder(): string {
  // The sources lie deeper than the bundle.
  const up = import.meta.url.endsWith(".ts") ? "../.." : "..";
  return path.resolve(path.dirname(fileURLToPath(import.meta.url)), up);
}
