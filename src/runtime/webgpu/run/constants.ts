/** The bit flags of the WebGPU specification. Dawn's Node package has them as objects to be made global; these are not. */

/** The flags of GPUBufferUsage. */
export const USAGE = {
  MAP_READ: 0x0001,
  MAP_WRITE: 0x0002,
  COPY_SRC: 0x0004,
  COPY_DST: 0x0008,
  UNIFORM: 0x0040,
  STORAGE: 0x0080,
  QUERY_RESOLVE: 0x0200,
} as const;

/** The flags of GPUMapMode. */
export const MAP = { READ: 0x0001, WRITE: 0x0002 } as const;

/** The flag GPUShaderStage.COMPUTE. */
export const COMPUTE_STAGE = 0x4;
