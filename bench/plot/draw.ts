/** Draws pictures as SVG, readable on light and dark pages: text has the page's colour scheme, marks stand out on both. */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { Bars, Lines, Panel, Picture, Points, Value } from "./picture.ts";

/** Colours of text and ground, by the scheme that the reader's system has. */
export const GROUNDS = {
  light: { text: "#1f2328", ground: "#ffffff" },
  dark: { text: "#e6edf3", ground: "#0d1117" },
} as const;

/** Colours of marks, in the order in which names get them. Their contrast to both grounds is at least 3 : 1. */
export const MARKS = ["#2f81f7", "#d4691a", "#2e9e5b", "#a371f7", "#d6336c", "#8a8f98"] as const;

const WIDTH = 760;
const MARGIN = 16;
const FONT = "system-ui, sans-serif";
const FONT_SIZE = 12;
/** The average width of a character of that size, by which margins are made wide enough. */
const CHARACTER = 6.6;
const LINE_HEIGHT = 18;

// Plot's types name those of browsers, which are not among ours.
const { document } = parseHTML("<!doctype html><html><body></body></html>") as unknown as {
  document: unknown;
};

/** The picture as the text of an SVG file. */
export function drawSvg({ title, notes, panels }: Picture): string {
  const texts = notes.flatMap((note) => wrapped(note));
  let y = MARGIN + 20;
  const parts = [textElement(title, y, { size: 16, isBold: true })];
  for (const text of texts) {
    y += LINE_HEIGHT;
    parts.push(textElement(text, y, { size: FONT_SIZE - 1 }));
  }
  for (const panel of panels) {
    y += 1.8 * LINE_HEIGHT;
    parts.push(textElement(panel.title, y, { size: 13, isBold: true }));
    const { svg, height } = drawPanel(panel);
    parts.push(
      `<svg x="${MARGIN}" y="${y + 6}" width="${WIDTH - 2 * MARGIN}" height="${height}">${svg}</svg>`,
    );
    y += 6 + height;
  }
  const height = Math.ceil(y + MARGIN);
  const { light, dark } = GROUNDS;
  const style = (scheme: { text: string; ground: string }): string =>
    `:root{color:${scheme.text};background:${scheme.ground}}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="${FONT}" fill="currentColor" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${style(light)}@media(prefers-color-scheme:dark){${style(dark)}}</style>`,
    ...parts,
    "</svg>\n",
  ].join("\n");
}

function drawPanel(panel: Panel): { svg: string; height: number } {
  switch (panel.kind) {
    case "bars":
      return drawBars(panel);
    case "lines":
      return drawLines(panel);
    case "points":
      return drawPoints(panel);
  }
}

const COMMON = {
  document,
  width: WIDTH - 2 * MARGIN,
  style: { fontSize: `${FONT_SIZE}px`, fontFamily: FONT },
};

function drawBars({ axis, bars }: Bars): { svg: string; height: number } {
  const named = distinct(bars.map(({ name }) => name));
  const groups = distinct(bars.map(({ group }) => group));
  // Every group has a row for every name, so that rows are as high everywhere.
  const height = groups.length * (24 * named.length + 10) + 56;
  return rendered(
    {
      ...COMMON,
      height,
      marginLeft: marginFor(named),
      marginRight: marginFor(groups),
      marginBottom: 36,
      x: { label: axis, grid: true, zero: true, nice: true, insetRight: 64 },
      y: { label: null, domain: named },
      fy: { label: null, domain: groups },
      color: colours(named),
      marks: [
        Plot.barX(bars, { x1: 0, x2: "value", y: "name", fy: "group", fill: "name" }),
        Plot.ruleY(bars.filter(hasSpread), { x1: "least", x2: "most", y: "name", fy: "group" }),
        Plot.text(bars, {
          x: (bar: Value) => bar.most ?? bar.value,
          y: "name",
          fy: "group",
          text: ({ value, note }: Bars["bars"][number]) =>
            note === undefined ? significant(value) : `${significant(value)}  ${note}`,
          textAnchor: "start",
          dx: 5,
        }),
      ],
    },
    height,
  );
}

function drawLines({ axis, over, points }: Lines): { svg: string; height: number } {
  const height = 280;
  const named = distinct(points.map(({ name }) => name));
  const sorted = [...points].sort((a, b) => a.at - b.at);
  const last = named.flatMap((name) => sorted.filter((point) => point.name === name).slice(-1));
  const at = distinct(sorted.map((point) => point.at));
  // Lengths and clients are doubled from one to the next more often than not.
  const isLog = (at.at(-1) ?? 1) / (at[0] ?? 1) > 8 && (at[0] ?? 0) > 0;
  return rendered(
    {
      ...COMMON,
      height,
      marginLeft: 56,
      marginRight: marginFor(named),
      marginBottom: 40,
      x: {
        label: over,
        type: isLog ? "log" : "linear",
        ticks: at,
        tickFormat: (value: number) => String(value),
      },
      y: { label: axis, grid: true, zero: true, nice: true },
      color: colours(named),
      marks: [
        Plot.line(sorted, { x: "at", y: "value", stroke: "name", strokeWidth: 2 }),
        Plot.ruleX(sorted.filter(hasSpread), { x: "at", y1: "least", y2: "most", stroke: "name" }),
        Plot.dot(sorted, { x: "at", y: "value", fill: "name", r: 4 }),
        Plot.text(sorted, { x: "at", y: "value", text: (point: Value) => significant(point.value), dy: -11 }),
        Plot.text(last, { x: "at", y: "value", text: "name", textAnchor: "start", dx: 10, dy: 3 }),
      ],
    },
    height,
  );
}

function drawPoints({ axis, over, points }: Points): { svg: string; height: number } {
  const height = 260;
  const named = distinct(points.map(({ name }) => name));
  return rendered(
    {
      ...COMMON,
      height,
      marginLeft: 64,
      marginRight: marginFor(named),
      marginBottom: 40,
      x: { label: over, zero: true, nice: true },
      y: { label: axis, grid: true, zero: true, nice: true },
      color: colours(named),
      marks: [
        Plot.ruleY([0], { strokeOpacity: 0.4 }),
        Plot.dot(points, { x: "at", y: "value", fill: "name", r: 5 }),
        ...apart(points, height).map(({ point, dy }) =>
          Plot.text([point], {
            x: "at",
            y: "value",
            text: [`${point.name}: ${significant(point.value)}`],
            textAnchor: "start",
            dx: 9,
            dy,
          }),
        ),
      ],
    },
    height,
  );
}

/**
 * How far down texts stand from their points, in pixels, so that those of points above each other can be read: about, since the
 * axis ends at a round number.
 */
function apart(
  points: Points["points"],
  height: number,
): { readonly point: Points["points"][number]; readonly dy: number }[] {
  const most = Math.max(...points.map(({ value }) => value), Number.MIN_VALUE);
  const placed: { at: number; y: number }[] = [];
  return [...points]
    .sort((a, b) => a.value - b.value)
    .map((point) => {
      const own = -(point.value / most) * (height - 80);
      const below = placed
        .filter(({ at }) => Math.abs(at - point.at) < 1)
        .map(({ y }) => y - LINE_HEIGHT * 0.8);
      const y = Math.min(own, ...below);
      placed.push({ at: point.at, y });
      return { point, dy: y - own };
    });
}

function colours(named: readonly string[]): Plot.ScaleOptions {
  return { domain: [...named], range: named.map((_, i) => MARKS[i % MARKS.length]) };
}

function rendered(options: Plot.PlotOptions, height: number): { svg: string; height: number } {
  // The types of browsers' elements are not among ours; linkedom's have what is used here.
  const element = Plot.plot(options) as unknown as Drawn;
  // A style of an inner picture would be one of the whole file.
  element.querySelector("style")?.remove();
  return { svg: element.outerHTML, height };
}

interface Drawn {
  readonly outerHTML: string;
  querySelector(selector: string): { remove(): void } | null;
}

function hasSpread({ least, most }: Value): boolean {
  return least !== undefined && most !== undefined;
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

function marginFor(texts: readonly string[]): number {
  return Math.min(260, 14 + CHARACTER * Math.max(...texts.map(({ length }) => length)));
}

export function significant(value: number): string {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

function wrapped(text: string): string[] {
  const most = Math.floor((WIDTH - 2 * MARGIN) / (CHARACTER * 0.92));
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > most) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

function textElement(
  text: string,
  y: number,
  { size, isBold = false }: { size: number; isBold?: boolean },
): string {
  const weight = isBold ? ' font-weight="600"' : "";
  return `<text x="${MARGIN}" y="${y}" font-size="${size}"${weight}>${escaped(text)}</text>`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
