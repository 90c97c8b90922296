/** Writes the rows of a pass where kernels read them; see kernels/common/rows.wgsl. */
import { attentionTiles } from "../../../kernels/attention/attention.gpu.ts";
import type { Pass } from "../../backend.ts";
import { formFor, LOGIT_ROWS, ROWS_HEADER, type FormName, type PassShape } from "../plan/dispatch.ts";
import type { GpuPlan } from "../plan/plan.ts";
import type { Resources } from "./resources.ts";

export class RowsWriter {
  readonly #resources: Resources;
  readonly #maxRows: number;
  readonly #queryTileRows: number;
  readonly #fewRows: number;
  readonly #words: Uint32Array;

  constructor(resources: Resources, { maxRows, queryTileRows, fewRows }: GpuPlan) {
    this.#resources = resources;
    this.#maxRows = maxRows;
    this.#queryTileRows = queryTileRows;
    this.#fewRows = fewRows;
    this.#words = new Uint32Array(ROWS_HEADER + 4 * maxRows);
  }

  /** The form of a pass. */
  formOf({ rows, length }: Pick<PassShape, "rows" | "length">): FormName {
    return formFor(rows, length, this.#fewRows);
  }

  write({ tokens, slots, positions, sourceLength = 0, logitRows = new Int32Array(0) }: Pass): PassShape {
    const words = this.#words;
    const wanted = logitRows.subarray(0, LOGIT_ROWS);
    words[0] = tokens.length;
    words[1] = wanted.length;
    words[2] = sourceLength;
    words.set(tokens, ROWS_HEADER);
    words.set(slots, ROWS_HEADER + this.#maxRows);
    words.set(positions, ROWS_HEADER + 2 * this.#maxRows);
    words.set(wanted, ROWS_HEADER + 3 * this.#maxRows);
    const { queue } = this.#resources.context.device;
    queue.writeBuffer(this.#resources.buffer("rows"), 0, words);
    let queryTiles = 0;
    const length = positions.reduce((most, position) => Math.max(most, position), 0) + 1;
    if (this.formOf({ rows: tokens.length, length }) === "block") {
      const tiles = attentionTiles(slots, positions, this.#queryTileRows);
      queryTiles = tiles.count;
      queue.writeBuffer(this.#resources.buffer("query tiles"), 0, tiles.words);
    }
    return {
      rows: tokens.length,
      logitRows: wanted.length,
      length,
      shortest: positions.reduce((least, position) => Math.min(least, position), Infinity) + 1,
      sourceLength,
      queryTiles,
    };
  }

  /** Writes other rows whose logits are wanted, at most LOGIT_ROWS. */
  writeLogitRows(rows: Int32Array): void {
    const { queue } = this.#resources.context.device;
    const buffer = this.#resources.buffer("rows");
    queue.writeBuffer(buffer, 4, Uint32Array.of(rows.length));
    queue.writeBuffer(buffer, (ROWS_HEADER + 3 * this.#maxRows) * 4, Uint32Array.from(rows));
  }
}
