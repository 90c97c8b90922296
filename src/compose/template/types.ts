import { nearestName } from "../../base/nearest-name.ts";
import { typeNames, type TypeName } from "./ast.ts";
import { TemplateSyntaxError } from "./syntax-error.ts";

const ALIASES: ReadonlyMap<string, TypeName> = new Map([
  ["int", "integer"],
  ["float", "number"],
  ["bool", "boolean"],
]);
const MEDIA_TYPES = ["image", "audio", "video", "file"];
const STREAM_FORMATS = ["stream", "sse-text", "sse-json"];
const WITH_ARGUMENTS: readonly TypeName[] = ["object", "select", "slider", "stream"];
export const typesRemedy = `Types: ${typeNames.join(", ")}.`;

/** The type of a name as written at an offset. @throws TemplateSyntaxError */
export function typeName(written: string, start: number): TypeName {
  const known = typeNames.find((name) => name === written) ?? ALIASES.get(written);
  if (known !== undefined) {
    return known;
  }
  const end = start + written.length;
  if (MEDIA_TYPES.includes(written)) {
    throw new TemplateSyntaxError(
      `the type ${written} is known in model-compose, but media is not supported here`,
      start,
      end,
      { unsupported: true },
    );
  }
  const near = nearestName(written, [...typeNames, ...ALIASES.keys()]);
  throw new TemplateSyntaxError(`unknown type ${JSON.stringify(written)}`, start, end, {
    remedy: near === undefined ? typesRemedy : `Did you mean ${near}?`,
  });
}

/**
 * Checks what stands behind `;`. The Python model-compose also knows path, url, data-uri and base64, all for media.
 *
 * @throws TemplateSyntaxError
 */
export function streamFormat(format: string, start: number): string {
  if (STREAM_FORMATS.includes(format)) {
    return format;
  }
  throw new TemplateSyntaxError(`the format ;${format} is not supported here`, start, start + format.length, {
    unsupported: true,
    remedy: `Formats for text: ${STREAM_FORMATS.join(", ")}.`,
  });
}

/** Checks what stands behind `/` of a type. @throws TemplateSyntaxError */
export function checkArguments(name: TypeName, args: readonly string[], start: number, end: number): void {
  const fail = (message: string, remedy: string): never => {
    throw new TemplateSyntaxError(message, start, end, { remedy });
  };
  if (args.length > 0 && !WITH_ARGUMENTS.includes(name)) {
    fail(`the type ${name} takes nothing behind "/"`, `Write as ${name}.`);
  }
  if (name === "select" && (args.length === 0 || args.includes(""))) {
    fail("select needs its options", "Write as select/a,b,c.");
  }
  if (name === "object" && args.includes("")) {
    fail("a field of object is empty", "Write as object/a,b.c.");
  }
  if (name === "stream" && (args.length !== 1 || !["text", "json"].includes(args[0] ?? ""))) {
    fail("stream is a stream of text or of json", "Write as stream/text or as stream/json.");
  }
  if (name === "slider") {
    const numbers = args.map((arg) => (arg.trim() === "" ? Number.NaN : Number(arg)));
    const [min = Number.NaN, max = Number.NaN] = numbers;
    if (![2, 3].includes(args.length) || !numbers.every(Number.isFinite) || min > max) {
      fail("slider needs min,max or min,max,step", "Write as slider/0,2,0.1.");
    }
  }
}
