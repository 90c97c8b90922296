/** Writes the ops of a forward pass as PyTorch's modules: by a name and what goes in and out. */
import { ProgramBuilder, type Affine, type Name, type WeightSource } from "../../../runtime/program.ts";

/** A module of the checkpoint that a module is only a part of, or that has its weight transposed. */
export interface ModuleSource extends Omit<WeightSource, "tensor"> {
  module: string;
}

/** What a norm without bias is. */
interface NormOptions {
  kind: "rms" | "layer";
  epsilon: number;
  heads?: number;
  gain?: Affine;
  trace?: string;
}

/** Builds a Program of PyTorch's modules, whose sizes follow from the buffers that they read and write. */
export class ModuleBuilder extends ProgramBuilder {
  readonly #columns = new Map<Name, number>();

  override buffer(name: Name, columns: number): Name {
    this.#columns.set(name, columns);
    return super.buffer(name, columns);
  }

  /**
   * Adds output = input * weight^T (+ bias), with NAME.weight [columns of output, columns of input] and NAME.bias [columns
   * of output].
   *
   * @param options.from the module of the checkpoint that both are read from, where it is another one
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
    const bias = hasBias ? this.vector(`${name}.bias`, rows, { source: source("bias") }) : undefined;
    this.op({ role: "linear", input, weight, bias, output, accumulate: false });
  }

  /**
   * Adds output = RMSNorm(input), or LayerNorm(input) without bias, with NAME.weight [columns of input, or of one of its heads].
   *
   * @param options.heads the heads of the input that are normed each by itself; absent: the input is one
   * @param options.gain what the gain is made of the weight; absent: it is the weight
   */
  norm(
    input: Name,
    name: string,
    output: Name,
    { kind, epsilon, heads = 1, gain, trace }: NormOptions,
  ): void {
    const isPlain = gain?.scale === 1 && gain.offset === 0;
    const affine = isPlain ? undefined : gain;
    const weight = this.vector(`${name}.weight`, this.#columnsOf(input) / heads, { affine });
    this.op({ role: "norm", kind, input, weight, heads, epsilon, output, trace });
  }

  /** Adds output = LayerNorm(input) with NAME.weight and NAME.bias, both [columns of input]. */
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
