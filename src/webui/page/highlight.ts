/** Colours code: its own file, which the page loads when the first code is shown. */
import { createLowlight } from "lowlight";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { h } from "./dom.ts";

const lowlight = createLowlight({
  ...{ bash, c, cpp, css, diff, go, java, javascript, json },
  ...{ python, rust, sql, typescript, xml, yaml },
});

type Tree = ReturnType<typeof lowlight.highlight>["children"][number];

/** The code as text and coloured pieces; undefined for a language that is not known. */
export function highlighted(language: string, code: string): (Node | string)[] | undefined {
  return lowlight.registered(language) ? lowlight.highlight(language, code).children.map(nodeOf) : undefined;
}

function nodeOf(tree: Tree): Node | string {
  if (tree.type === "text") {
    return tree.value;
  }
  if (tree.type !== "element") {
    return "";
  }
  const { className } = tree.properties;
  const names = Array.isArray(className) ? className.join(" ") : undefined;
  return h("span", { class: names }, ...tree.children.map(nodeOf));
}
