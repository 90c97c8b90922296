// AssemblyScript. The entry of the WASM kernel module: everything the executor calls.

export { activate } from "./activate/activate.as";
export { add } from "./add/add.as";
export { append } from "./append/append.as";
export { attend, attend_row, combine, finish, pack_queries, reset_state } from "./attention/attention.as";
export { widen_half } from "./attention/widen-half.as";
export { embed } from "./embed/embed.as";
export { add_weighted, weigh } from "./experts/weigh.as";
export { gate, gate_clamped } from "./gate/gate.as";
export { broadcast } from "./linear/broadcast.as";
export { convert } from "./linear/convert.as";
export { gemm, pack_rows } from "./linear/gemm.as";
export { gemv_bf16, gemv_f16, gemv_f32, gemv_i8_row, scale_f16 } from "./linear/gemv.as";
export { pack_panel } from "./linear/panels.as";
export { layer_norm, rms_norm } from "./norm/norm.as";
export { fma_peak, read_stream, read_streams4, read_wide } from "./probe/probe.as";
export { quantize_rows } from "./quantized/activations.as";
export { checksum } from "./quantized/checksum.as";
export { gemm_quantized } from "./quantized/product.as";
export { gemv_quantized } from "./quantized/row.as";
export { quantize_panel } from "./quantized/quantize.as";
export { quantize_rows_gpu } from "./quantized/quantize-rows.as";
export { rope } from "./rope/rope.as";
export { route } from "./route/route.as";
export { argmax } from "./sample/argmax.as";
export { soft_cap } from "./soft-cap/soft-cap.as";
