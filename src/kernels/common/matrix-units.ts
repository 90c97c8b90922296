/** The matrix units of an adapter: products of small matrices that subgroups compute (Dawn's subgroup matrices). */

/** A product that matrix units compute: M × K by K × N. */
export interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** What a choice among matrix units depends on; features are those the device was opened with. */
export interface UnitsAdapter {
  shaderF16: boolean;
  /** Products of the matrix units; empty without the feature chromium-experimental-subgroup-matrix. */
  subgroupMatrix: readonly MatrixConfig[];
  /** Invocations of the largest subgroups; 0 without subgroups. */
  subgroupMaxSize: number;
  maxComputeWorkgroupStorageSize: number;
  maxComputeInvocationsPerWorkgroup: number;
}

/** The products of f16 matrices whose sums are f32 and whose sides are multiples of 4, as kernels need; the largest first. */
export function halfUnits({
  shaderF16,
  subgroupMatrix,
}: Pick<UnitsAdapter, "shaderF16" | "subgroupMatrix">): MatrixConfig[] {
  return subgroupMatrix
    .filter(
      ({ componentType, resultComponentType, M, N, K }) =>
        shaderF16 &&
        componentType === "f16" &&
        resultComponentType === "f32" &&
        [M, N, K].every((side) => side % 4 === 0),
    )
    .toSorted((a, b) => b.M * b.N * b.K - a.M * a.N * a.K);
}
