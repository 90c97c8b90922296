import type { OutputPart } from "../client/outputs.ts";
import { copyButton, h } from "./dom.ts";

/** A piece of output with its name and a button that copies it. */
export function partView({ label, text, code }: OutputPart): HTMLElement {
  const header = h(
    "header",
    {},
    h("h4", {}, label ?? "Result"),
    copyButton("Copy", () => text),
  );
  return h(
    "article",
    { class: "part" },
    header,
    h("pre", { class: code ? "text code" : "text", tabindex: 0 }, text),
  );
}
