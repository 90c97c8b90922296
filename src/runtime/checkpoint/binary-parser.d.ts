/** The package declares its types for CommonJS only; those of its ESM entry are the same. */
declare module "binary-parser" {
  export { Parser } from "binary-parser/dist/binary_parser.js";
}
