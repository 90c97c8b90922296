// AssemblyScript. Norms of whole rows, in f32.

import { madd, sumLanes } from "../common/simd.as";

/**
 * RMSNorm (Zhang & Sennrich 2019): y = x / sqrt(mean(x^2) + epsilon) * weight.
 *
 * x, y: [rows] of `columns` f32, rows `stride` bytes apart; weight: [columns] f32. Buffers are padded to 4 columns.
 */
export function rms_norm(x: usize, weight: usize, y: usize, rows: i32, columns: i32, stride: usize, epsilon: f32): void {
  const whole = columns & ~15;
  for (let r = 0; r < rows; r++) {
    let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
    let c = 0;
    for (; c < whole; c += 16) {
      const p = x + (<usize>c << 2);
      let t = v128.load(p);
      s0 = madd(t, t, s0);
      t = v128.load(p, 16);
      s1 = madd(t, t, s1);
      t = v128.load(p, 32);
      s2 = madd(t, t, s2);
      t = v128.load(p, 48);
      s3 = madd(t, t, s3);
    }
    let sum = sumLanes(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)));
    for (; c < columns; c++) {
      const t = load<f32>(x + (<usize>c << 2));
      sum += t * t;
    }
    const inverse: f32 = 1 / sqrt<f32>(sum / <f32>columns + epsilon);
    const scale = f32x4.splat(inverse);
    for (c = 0; c + 4 <= columns; c += 4) {
      const o = <usize>c << 2;
      v128.store(y + o, f32x4.mul(f32x4.mul(v128.load(x + o), scale), v128.load(weight + o)));
    }
    for (; c < columns; c++) {
      const o = <usize>c << 2;
      store<f32>(y + o, load<f32>(x + o) * inverse * load<f32>(weight + o));
    }
    x += stride;
    y += stride;
  }
}

/**
 * LayerNorm (Ba et al. 2016): y = (x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) * weight + bias, mean and
 * variance in a walk each. x, y and weight are as for rms_norm, bias as weight, or 0 for none.
 */
export function layer_norm(
  x: usize, weight: usize, bias: usize, y: usize, rows: i32, columns: i32, stride: usize, epsilon: f32,
): void {
  const whole = columns & ~3;
  for (let r = 0; r < rows; r++) {
    let sums = f32x4.splat(0);
    let c = 0;
    for (; c < whole; c += 4) sums = f32x4.add(sums, v128.load(x + (<usize>c << 2)));
    let sum = sumLanes(sums);
    for (; c < columns; c++) sum += load<f32>(x + (<usize>c << 2));
    const mean: f32 = sum / <f32>columns;

    const center = f32x4.splat(mean);
    sums = f32x4.splat(0);
    for (c = 0; c < whole; c += 4) {
      const t = f32x4.sub(v128.load(x + (<usize>c << 2)), center);
      sums = madd(t, t, sums);
    }
    sum = sumLanes(sums);
    for (; c < columns; c++) {
      const t: f32 = load<f32>(x + (<usize>c << 2)) - mean;
      sum += t * t;
    }
    const inverse: f32 = 1 / sqrt<f32>(sum / <f32>columns + epsilon);

    const scale = f32x4.splat(inverse);
    for (c = 0; c < whole; c += 4) {
      const o = <usize>c << 2;
      const t = f32x4.mul(f32x4.sub(v128.load(x + o), center), scale);
      const w = v128.load(weight + o);
      v128.store(y + o, bias == 0 ? f32x4.mul(t, w) : madd(t, w, v128.load(bias + o)));
    }
    for (; c < columns; c++) {
      const o = <usize>c << 2;
      const t: f32 = (load<f32>(x + o) - mean) * inverse * load<f32>(weight + o);
      store<f32>(y + o, bias == 0 ? t : t + load<f32>(bias + o));
    }
    x += stride;
    y += stride;
  }
}
