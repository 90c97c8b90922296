/** Writes the ops of a forward pass as PyTorch's modules: by a name and what goes in and out. */
import { ProgramBuilder, type Name, type WeightSource } from "../../../runtime/program.ts";

/** A module of the checkpoint that is more than the one it is read as: several in one, or transposed. */
export interface ModuleSource extends Omit<WeightSource, "tensor"> {
  module: string;
}

export class ModuleBuilder extends ProgramBuilder {
  readonly #columns = new Map<Name, number>();

  override buffer(name: Name, columns: number): Name {
    this.#columns.set(name, columns);
    return super.buffer(name, columns);
  }

  /**
   * output = input * weight^T (+ bias), with NAME.weight [columns of output, columns of input] and NAME.bias; `from`:
   * both as part of another module's.
   */
  linear(
    input: Name,
    name: string,
    output: Name,
    { bias: hasBias, from }: { bias: boolean; from?: ModuleSource },
  ): void {
    const rows = this.#columnsOf(output);
    const source = (part: "weight" | "bias"): WeightSource | undefined => {
      if (from === undefined) {
        return undefined;
      }
      const { module, transposed, ...rest } = from;
      return { ...rest, tensor: `${module}.${part}`, transposed: part === "weight" && transposed };
    };
    const weight = this.matrix(`${name}.weight`, rows, this.#columnsOf(input), source("weight"));
    const bias = hasBias ? this.vector(`${name}.bias`, rows, source("bias")) : undefined;
    this.op({ role: "linear", input, weight, bias, output, accumulate: false });
  }

  /** output = RMSNorm(input) with NAME.weight. */
  rmsNorm(
    input: Name,
    name: string,
    output: Name,
    { epsilon, trace }: { epsilon: number; trace?: string },
  ): void {
    const weight = this.vector(`${name}.weight`, this.#columnsOf(input));
    this.op({ role: "norm", kind: "rms", input, weight, epsilon, output, trace });
  }

  /** output = LayerNorm(input) with NAME.weight and NAME.bias. */
  layerNorm(
    input: Name,
    name: string,
    output: Name,
    { epsilon, trace }: { epsilon: number; trace?: string },
  ): void {
    const columns = this.#columnsOf(input);
    const [weight, bias] = [this.vector(`${name}.weight`, columns), this.vector(`${name}.bias`, columns)];
    this.op({ role: "norm", kind: "layer", input, weight, bias, epsilon, output, trace });
  }

  #columnsOf(buffer: Name): number {
    const columns = this.#columns.get(buffer);
    if (columns === undefined) {
      throw new Error(`There is no buffer "${buffer}".`);
    }
    return columns;
  }
}
