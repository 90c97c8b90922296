/**
 * How weights are stored: the one place that knows what a number of a format takes, where scales lie, and how rows are
 * packed for either device. Everything else asks here, by the format's name, which is plain data.
 *
 * A format is a row of descriptors, so that a new one is a new row (and the kernels that read it), not a new branch in
 * loaders and planners.
 */

/** What is stored for one number. */
export type ElementType = "f32" | "f16" | "bf16" | "f8e4m3" | "f8e5m2" | "i8" | "u8" | "i4" | "u4" | "code4";

/** Numbers that stand for `columns` neighbouring elements q of a row together. */
export interface Grouping {
  /** How many columns share them; "row": all of a row. */
  readonly columns: 32 | 64 | 128 | "row";
  /**
   * How the scale is stored, and the minimum where there is one. "e4m4": four bits of exponent and four of mantissa, without
   * sign, times the row's scale: 2^(e - 15) (1 + m / 16).
   */
  readonly scale: "f32" | "f16" | "bf16" | "e4m4";
  /**
   * What an element stands for. Absent: scale · q. "zero-point": scale · (q − zero), zero an element. "sixteenths": scale
   * · (q − zero / 16), zero a byte. "minimum": scale · q + minimum. "middle": scale · (q − 128).
   */
  readonly offset?: "zero-point" | "sixteenths" | "minimum" | "middle";
  /** A scale of whole rows, by which those of groups are multiplied. */
  readonly rowScale?: "f32";
}

/** How the numbers of a matrix are stored. */
export interface WeightFormat {
  readonly element: ElementType;
  /** How groups of elements are scaled; absent: elements are the numbers themselves. */
  readonly grouping?: Grouping;
  /** The 16 numbers that elements "code4" are indices of. */
  readonly codebook?: readonly number[];
  /** The number by which WASM kernels know the format; WGSL kernels know it by its name. */
  readonly code: number;
}

const DESCRIPTORS = {
  f32: { element: "f32", code: 0 },
  f16: { element: "f16", code: 1 },
  bf16: { element: "bf16", code: 2 },
  /** Values and scales are two tensors of a checkpoint. No option offers it: it proves that a format may be like that. */
  "i8-row": { element: "i8", grouping: { columns: "row", scale: "f32" }, code: 3 },
  /** What weights become on request (`Quantization`): 8.5 bits a weight, and 4.5 and 32 bits a row. */
  int8: { element: "u8", grouping: { columns: 32, scale: "bf16", offset: "middle" }, code: 4 },
  int4: {
    element: "u4",
    grouping: { columns: 32, scale: "e4m4", offset: "sixteenths", rowScale: "f32" },
    code: 5,
  },
} as const satisfies Record<string, WeightFormat>;

export type FormatName = keyof typeof DESCRIPTORS;

/** Every format that kernels read. */
export const FORMATS: Readonly<Record<FormatName, WeightFormat>> = DESCRIPTORS;

export const FORMAT_NAMES = Object.keys(DESCRIPTORS) as readonly FormatName[];

const ELEMENT_BITS: Readonly<Record<ElementType, number>> = {
  f32: 32,
  f16: 16,
  bf16: 16,
  f8e4m3: 8,
  f8e5m2: 8,
  i8: 8,
  u8: 8,
  i4: 4,
  u4: 4,
  code4: 4,
};

/** Bytes of a row's elements, without what is for groups of them. */
export function elementBytes(format: FormatName, columns: number): number {
  return Math.ceil((columns * ELEMENT_BITS[FORMATS[format].element]) / 8);
}

/** Number of groups of a row; 0 for formats without. */
function groupsOf(format: FormatName, columns: number): number {
  const { grouping } = FORMATS[format];
  if (grouping === undefined) {
    return 0;
  }
  return grouping.columns === "row" ? 1 : Math.ceil(columns / grouping.columns);
}

const SCALE_BITS: Readonly<Record<Grouping["scale"], number>> = { f32: 32, f16: 16, bf16: 16, e4m4: 8 };

/** Bytes of the scales, minimums and zero points of a row's groups. */
function groupBytes(format: FormatName, columns: number): number {
  const { grouping, element } = FORMATS[format];
  if (grouping === undefined) {
    return 0;
  }
  const bits = SCALE_BITS[grouping.scale];
  const offsets = { none: 0, middle: 0, minimum: bits, sixteenths: 8, "zero-point": ELEMENT_BITS[element] };
  return Math.ceil((groupsOf(format, columns) * (bits + offsets[grouping.offset ?? "none"])) / 8);
}

/** Bytes of what a row has for all of its groups. */
function rowScaleBytes(format: FormatName): number {
  return FORMATS[format].grouping?.rowScale === undefined ? 0 : 4;
}

/** Bytes of a matrix [rows, columns] as it is stored, nothing padded. */
export function matrixBytes(format: FormatName, rows: number, columns: number): number {
  return rows * (elementBytes(format, columns) + groupBytes(format, columns) + rowScaleBytes(format));
}

/** Whether weights of this format are made while a checkpoint is loaded, out of weights that it has in another. */
export function isQuantized(format: FormatName): format is QuantizedFormat {
  return format === "int8" || format === "int4";
}

export type QuantizedFormat = "int8" | "int4";

/** The formats that checkpoints have. */
export type StoredFormat = Exclude<FormatName, QuantizedFormat>;

/** Those of them that are plain numbers. */
export type FloatFormat = Exclude<StoredFormat, "i8-row">;

// On the CPU weights lie in panels of 16 rows, interleaved word by word (linear/panels.as.ts), with the scales of rows behind
// all of the matrix's tiles. Quantised ones come in units of columns, with the scales of their groups in each unit
// (quantized/layout.as.ts).

/** Rows of a panel; a worker owns whole panels. */
export const PANEL = 16;

/** Columns of a unit of quantised weights: two groups. */
export const UNIT_COLUMNS = 64;

/** 32-bit words that a row has in the tiles. */
function tileWords(format: FormatName, columns: number): number {
  if (isQuantized(format)) {
    const bytes = elementBytes(format, UNIT_COLUMNS) + groupBytes(format, UNIT_COLUMNS);
    return (Math.ceil(columns / UNIT_COLUMNS) * bytes) / 4;
  }
  return Math.ceil(elementBytes(format, columns) / 4);
}

/** Bytes of `width` columns of a panel's rows in the tiles: of one tile, where they are a tile's. */
export function tileBytes(format: FormatName, width: number): number {
  return PANEL * tileWords(format, width) * 4;
}

/** Columns of a tile; the last one of a row may have fewer. */
export const TILE_COLUMNS = 256;

/** Bytes that a row has behind the tiles. */
function behindTiles(format: FormatName, columns: number): number {
  return isQuantized(format) ? rowScaleBytes(format) : groupBytes(format, columns);
}

/** Bytes of one panel, its scales included. */
export function panelBytes(format: FormatName, columns: number): number {
  return PANEL * (tileWords(format, columns) * 4 + behindTiles(format, columns));
}

/** Where the scales of panel `panel` of `panels` lie, in bytes from the first tile: [16] f32 for formats of one a row. */
export function panelScalesOffset(
  format: FormatName,
  columns: number,
  panels: number,
  panel: number,
): number {
  return PANEL * (panels * tileWords(format, columns) * 4 + panel * behindTiles(format, columns));
}

// On the GPU weights lie row by row, elements as in the checkpoint and padded with zeros to whole chunks, with scales in chunks
// behind them. Elements of quantised ones are in the order of quantized/quantize-rows.as.ts; behind those are two bytes a group,
// and behind these, at a multiple of 4 bytes, int4's scale of the row.

/** Bytes that one load of an invocation brings: vec4<u32>. */
export const CHUNK_BYTES = 16;

/** The format and the columns of a matrix, from which its layout follows. */
export interface WeightShape {
  format: FormatName;
  columns: number;
}

/** Number of chunks of a row's elements. */
export function chunksOf({ format, columns }: WeightShape): number {
  return Math.ceil(elementBytes(format, columns) / CHUNK_BYTES);
}

/** Fours of columns of a chunk. */
export function chunkQuads(format: FormatName): number {
  return (CHUNK_BYTES * 2) / ELEMENT_BITS[FORMATS[format].element];
}

/** Bytes from one row to the next. */
export function rowStride({ format, columns }: WeightShape): number {
  const behind = Math.ceil(groupBytes(format, columns) / 4) * 4 + rowScaleBytes(format);
  return (chunksOf({ format, columns }) + Math.ceil(behind / CHUNK_BYTES)) * CHUNK_BYTES;
}

/** Whether the columns fill whole chunks, so that kernels read x without looking where it ends. */
export function isAligned({ format, columns }: WeightShape): boolean {
  return (columns * ELEMENT_BITS[FORMATS[format].element]) % (8 * CHUNK_BYTES) === 0;
}
