/** Writes the ops of a forward pass as PyTorch's modules: by a name and what goes in and out. */
import {
  ProgramBuilder,
  type Affine,
  type ExpertsOp,
  type Name,
  type WeightSource,
} from "../../../runtime/program.ts";

/** A module of the checkpoint that a module is only a part of, or that has its weight transposed. */
export interface ModuleSource extends Omit<WeightSource, "tensor"> {
  module: string;
}

/** What a norm is. */
interface NormOptions {
  kind: "rms" | "layer";
  epsilon: number;
  heads?: number;
  gain?: Affine;
  bias?: boolean;
  trace?: string;
}

/** Builds a Program of PyTorch's modules, whose sizes follow from the buffers that they read and write. */
export class ModuleBuilder extends ProgramBuilder {
  /** Columns of a line of each buffer. */
  readonly #columns = new Map<Name, number>();

  override buffer(name: Name, columns: number): Name {
    this.#columns.set(name, columns);
    return super.buffer(name, columns);
  }

  override lines(name: Name, lines: number, columns: number): Name {
    this.#columns.set(name, columns);
    return super.lines(name, lines, columns);
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
   * Adds output = RMSNorm(input) or LayerNorm(input), with NAME.weight [columns of input, or of one of its heads].
   *
   * @param options.heads the heads of the input that are normed each by itself; absent: the input is one
   * @param options.gain what the gain is made of the weight; absent: it is the weight. A factor is one of the bias too
   * @param options.bias whether a layer norm has NAME.bias, of as many numbers; absent: it has none
   */
  norm(
    input: Name,
    name: string,
    output: Name,
    { kind, epsilon, heads = 1, gain, bias: hasBias = false, trace }: NormOptions,
  ): void {
    const columns = this.#columnsOf(input) / heads;
    const isPlain = gain?.scale === 1 && gain.offset === 0;
    const affine = isPlain ? undefined : gain;
    const weight = this.vector(`${name}.weight`, columns, { affine });
    const scaled =
      affine === undefined || affine.scale === 1 ? undefined : { scale: affine.scale, offset: 0 };
    const bias = hasBias ? this.vector(`${name}.bias`, columns, { affine: scaled }) : undefined;
    this.op({ role: "norm", kind, input, weight, bias, heads, epsilon, output, trace });
  }

  /** Adds output = LayerNorm(input) with NAME.weight and NAME.bias, both [columns of input]. */
  layerNorm(
    input: Name,
    name: string,
    output: Name,
    { epsilon, trace }: { epsilon: number; trace?: string },
  ): void {
    this.norm(input, name, output, { kind: "layer", epsilon, bias: true, trace });
  }

  /**
   * Adds the products of chosen experts, or their sum, with NAME.weight [columns of output, columns of input] for each name.
   *
   * @param options.bias whether each has NAME.bias [columns of output]
   */
  experts(
    kind: ExpertsOp["kind"],
    input: Name,
    routes: Name,
    names: readonly string[],
    output: Name,
    { bias: hasBias = false }: { bias?: boolean } = {},
  ): void {
    const [rows, columns] = [this.#columnsOf(output), this.#columnsOf(input)];
    const weights = names.map((name) => this.matrix(`${name}.weight`, rows, columns));
    const biases = hasBias ? names.map((name) => this.vector(`${name}.bias`, rows)) : undefined;
    this.op({ role: "experts", kind, input, routes, weights, biases, output, accumulate: false });
  }

  #columnsOf(buffer: Name): number {
    const columns = this.#columns.get(buffer);
    if (columns === undefined) {
      throw new Error(`There is no buffer "${buffer}".`);
    }
    return columns;
  }
}
