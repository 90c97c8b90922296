import { ModelComposeError, withoutRemedy } from "./errors.ts";

/** How a front, such as a command line or a file, writes what the library's messages name. */
export interface FrontWords {
  /** The front's name of each parameter, by its name in the library; undefined: the front has no such thing. */
  readonly names: ReadonlyMap<string, string | undefined>;
  /** Sentences for people who meet an error of a parameter, behind its remedy. */
  readonly notes?: ReadonlyMap<string, string>;
}

/**
 * A text of the library in the words of a front. A parameter is found where it stands as `the option "name"` or between
 * quotes; one that is no English word (`topK`) anywhere.
 */
export function inWordsOf(text: string, { names }: FrontWords): string {
  let found = text;
  for (const [name, word] of names) {
    if (!found.includes(name)) {
      continue;
    }
    const literal = name.replace(/[()]/g, String.raw`\$&`);
    if (word === undefined) {
      // What the front does not have is no way out there.
      found = found.replaceAll(new RegExp(`,? or (give )?the option "${name}"`, "g"), "");
      continue;
    }
    // Replacing goes by a function: a word may hold what replaceAll reads as a pattern.
    found = found.replaceAll(new RegExp(`(the option )?"${literal}"`, "gi"), () => word);
    if (/[A-Z]/.test(name)) {
      found = found.replaceAll(new RegExp(`(?<![\\w"'./-])${name}(?![\\w"'])`, "g"), () => word);
    }
  }
  return found;
}

/** A remedy with the front's name of the parameter that the error is about, where neither text has it. */
function withName(message: string, remedy: string, name: string | undefined): string {
  if (name === undefined || message.includes(name) || remedy.includes(name)) {
    return remedy;
  }
  return `${remedy} That is ${name}.`.trimStart();
}

/** An error of the library in the words of a front; any other is given back as it is. */
export function errorInWordsOf(error: unknown, words: FrontWords): unknown {
  if (!(error instanceof ModelComposeError)) {
    return error;
  }
  const { code, parameter, message } = error;
  const note = parameter === undefined ? undefined : words.notes?.get(parameter);
  const remedy = [error.remedy, note].filter((part) => part !== undefined).join(" ");
  const own = inWordsOf(withoutRemedy(error), words);
  const ownRemedy = withName(own, inWordsOf(remedy, words), parameter && words.names.get(parameter));
  if (`${own} ${ownRemedy}`.trimEnd() === message) {
    return error;
  }
  return new ModelComposeError(code, own, {
    remedy: ownRemedy === "" ? undefined : ownRemedy,
    // Who has been told more of it here is not told again further out.
    parameter: note === undefined ? parameter : undefined,
    cause: error,
  });
}
