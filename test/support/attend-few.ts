/** Attention of few rows by its kernels, as a pass launches them. */
import { attentionParams, readsVectors } from "../../src/kernels/attention/attention.gpu.ts";
import {
  attentionPartialWords,
  attentionRowLaunches,
  type DecodeAttentionVariant,
} from "../../src/kernels/attention/decode.gpu.ts";
import { vectorsOf, type Attend } from "./attention-contract.ts";
import { cacheBuffer } from "./gpu-cache.ts";
import type { GpuLab } from "./gpu-lab.ts";
import { rowWords } from "./rows.ts";

/** The most rows of a pass in these tests. */
export const MAX_ROWS = 40;

/** Sizes of the subgroups of the laboratory's adapter. */
export function subgroupsOf({ device }: GpuLab): { least: number; most: number } {
  const { subgroupMinSize: least, subgroupMaxSize: most } = device.adapterInfo;
  if (least === undefined || most === undefined) {
    throw new Error("The adapter to test on has no subgroups.");
  }
  return { least, most };
}

/** A way to attend by these kernels; those that have nothing to do are not launched. */
export function attendFew(lab: GpuLab, variant: DecodeAttentionVariant): Attend {
  return async (data) => {
    const { shape, rows, sourceLength, scale, cap, bias, query, keys, values } = data;
    const { vectors, offsets } = vectorsOf(data);
    const rowBuffer = lab.buffer(
      rowWords(MAX_ROWS, {
        slots: rows.map(({ slot }) => slot),
        positions: rows.map(({ position }) => position),
        sourceLength,
      }),
    );
    const partials = lab.buffer(Math.max(1, attentionPartialWords(shape, variant, rows.length)));
    const output = lab.buffer(query.length);
    const caches = [keys, values].map((numbers) => cacheBuffer(lab, numbers, shape.cache));
    const params = lab.uniform(attentionParams(scale, { cap, bias, ...offsets }));
    const lengths = shape.source === true ? [sourceLength] : rows.map(({ position }) => position + 1);
    const pass = { count: rows.length, shortest: Math.min(...lengths), longest: Math.max(...lengths) };
    const launches = attentionRowLaunches(shape, variant, MAX_ROWS, pass, {
      query: lab.buffer(query),
      keys: caches[0],
      values: caches[1],
      output,
      partials,
      rows: rowBuffer,
      vectors: readsVectors(shape) ? lab.buffer(vectors) : undefined,
    });
    for (const { spec, buffers, hasParams, workgroups } of launches) {
      await lab.run(spec, hasParams ? [...buffers, params] : buffers, workgroups);
    }
    await lab.readWords(partials); // finds writes behind it
    return lab.read(output);
  };
}
