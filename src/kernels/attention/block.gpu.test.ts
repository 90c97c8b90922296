import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  attentionContract,
  makeCase,
  run,
  type Attend,
  vectorsOf,
} from "../../../test/support/attention-contract.ts";
import { cacheBuffer } from "../../../test/support/gpu-cache.ts";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { rowWords } from "../../../test/support/rows.ts";
import {
  attentionBlockKernel,
  attentionBlockWorkgroups,
  attentionParams,
  readsVectors,
  attentionTileRows,
  attentionTiles,
} from "./attention.gpu.ts";

const MAX_ROWS = 60;

let lab: GpuLab;
beforeAll(async () => {
  lab = await GpuLab.open([]);
});
afterEach(() => {
  lab.reset();
});
afterAll(() => {
  lab.close();
});

const attendBy =
  (tileRows?: number): Attend =>
  async (data) => {
    const { shape, rows, sourceLength, scale, cap, bias, query, keys, values } = data;
    const { vectors, offsets } = vectorsOf(data);
    const tiles = attentionTiles(
      rows.map(({ slot }) => slot),
      rows.map(({ position }) => position),
      tileRows ?? attentionTileRows(shape),
    );
    const output = lab.buffer(query.length);
    const positions = rows.map(({ position }) => position);
    const rowBuffer = lab.buffer(rowWords(MAX_ROWS, { positions, sourceLength }));
    await lab.run(
      attentionBlockKernel(shape, MAX_ROWS),
      [
        lab.buffer(query),
        ...[keys, values].map((numbers) => cacheBuffer(lab, numbers, shape.cache)),
        output,
        lab.buffer(tiles.words),
        ...(shape.source === true ? [rowBuffer] : []),
        ...(readsVectors(shape) ? [lab.buffer(vectors)] : []),
        lab.uniform(attentionParams(scale, { cap, bias, ...offsets })),
      ],
      attentionBlockWorkgroups(shape, tiles.count),
    );
    return lab.read(output);
  };

describe.each(["f32", "f16"] as const)("a cache of %s", (cache) => {
  attentionContract(
    attendBy(),
    [
      [2, 2, 16],
      [8, 2, 64],
      [7, 1, 80],
      [65, 1, 12], // more heads than queries of a workgroup, and not even
      [4, 1, 128],
      [2, 1, 256],
    ],
    cache,
  );
});

test("how rows are cut into tiles does not matter", async () => {
  const data = makeCase({ heads: 6, kvHeads: 2, headDim: 8, context: 210, cache: "f32" }, run(0, 100, 50));
  const expected = await attendBy()(data);
  for (const tileRows of [1, 13]) {
    expect(await attendBy(tileRows)(data)).toEqual(expected);
  }
});
