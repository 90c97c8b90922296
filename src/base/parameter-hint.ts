import { ModelComposeError, withoutRemedy } from "./errors.ts";

/**
 * An error for somebody who writes parameters otherwise than the library does, as in a file or on a command line: with
 * the hint for the error's parameter behind its remedy. An error that names no parameter, or one without a hint, is
 * given back as it is.
 *
 * @param hints a sentence for each parameter, by its name in the library
 */
export function withHint(error: unknown, hints: ReadonlyMap<string, string>): unknown {
  if (!(error instanceof ModelComposeError) || error.parameter === undefined) {
    return error;
  }
  const hint = hints.get(error.parameter);
  if (hint === undefined) {
    return error;
  }
  const remedy = error.remedy === undefined ? hint : `${error.remedy} ${hint}`;
  // The new error has no parameter: who has been told how to write it here is not told again further out.
  return new ModelComposeError(error.code, withoutRemedy(error), { remedy, cause: error });
}
