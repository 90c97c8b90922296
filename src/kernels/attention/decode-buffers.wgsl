// What both kernels of single rows read and write. DIRECT: the output of short rows; else the splits of the others.
#include "common/rows.wgsl"
#include "common/exp.wgsl"
#if SOFT_CAP
#include "common/tanh.wgsl"
#endif
#include "attention/splits.wgsl"
#include "attention/bias.wgsl"

@group(0) @binding(0) var<storage, read> query: array<vec4<f32>>; // [R][HEADS][COLUMNS]
@group(0) @binding(1) var<storage, read> keys: array<Cached>;
@group(0) @binding(2) var<storage, read> values: array<Cached>;
#if DIRECT
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>; // [R][HEADS][COLUMNS]
#else
@group(0) @binding(3) var<storage, read_write> partials: array<vec4<f32>>;
#endif
@group(0) @binding(4) var<storage, read> rows: array<u32>;

#if SOURCE
fn ownPosition(row: u32) -> u32 { return rowPosition(row); }
#else
fn ownPosition(row: u32) -> u32 { return lastVisible(row); }
#endif
