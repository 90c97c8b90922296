// AssemblyScript. The entry of the WASM kernel module: everything the executor calls.

export { activate } from "./activate/activate.as";
export { embed } from "./embed/embed.as";
export { layer_norm, rms_norm } from "./norm/norm.as";
export { gemv_bf16, gemv_f16, gemv_f32, gemv_i8_row, scale_f16 } from "./linear/gemv.as";
export { gemm, pack_rows } from "./linear/gemm.as";
export { pack_panel } from "./linear/panels.as";
export { rope } from "./rope/rope.as";
export { append, attend, attend_row, combine, finish, pack_queries, reset_state } from "./attention/attention.as";
export { add, broadcast, silu_gate } from "./gate/gate.as";
export { argmax } from "./sample/argmax.as";
export { fma_peak, read_stream, read_streams4, read_wide } from "./probe/probe.as";
