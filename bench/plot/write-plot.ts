/** What `--plot FILE.svg` of a benchmark does. */
import { stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { ModelComposeError } from "../../src/base/errors.ts";
import { usageError } from "../harness/usage.ts";
import type { Picture } from "./picture.ts";
import type { NamedResult } from "./read-results.ts";

/** Draws results of one benchmark. @throws ModelComposeError "invalid-input" for what cannot be drawn */
export type Draw = (results: readonly NamedResult[]) => Promise<void>;

/** The file of the flag. @throws ModelComposeError "usage" for one that is not named FILE.svg */
export function plotFlag(flag: string, file: string | undefined): string | undefined {
  if (file !== undefined && !/[^/\\]\.svg$/i.test(file)) {
    throw usageError(`${flag} must be a file that ends with .svg; found "${file}".`);
  }
  return file;
}

/**
 * Makes ready to draw, before a measurement that may take an hour: the packages and the folder must be there.
 *
 * @param file undefined: nothing is drawn
 * @throws ModelComposeError "not-found" for packages or a folder that are not there
 */
export async function preparePlot(file: string | undefined): Promise<Draw> {
  if (file === undefined) {
    return () => Promise.resolve();
  }
  const folder = path.dirname(path.resolve(file));
  if (!(await stat(folder).catch(() => undefined))?.isDirectory()) {
    throw new ModelComposeError("not-found", `The picture "${file}" has no folder to be in: "${folder}".`, {
      remedy: "Make it.",
    });
  }
  let drawing: { readonly drawSvg: (picture: Picture) => string };
  try {
    drawing = await import("./draw.ts");
  } catch (error) {
    throw new ModelComposeError("not-found", "The packages that draw pictures are not installed.", {
      remedy: "Pictures are drawn in a clone of the repository, after npm install.",
      cause: error,
    });
  }
  const { pictureOf } = await import("./read-results.ts");
  return async (results) => {
    await writeFile(file, drawing.drawSvg(pictureOf(results)));
  };
}
