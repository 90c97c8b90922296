/** One open GPU: what it can do, its memory, its end. */
import { errorMessage, ModelComposeError, throwIfAborted } from "../../../base/errors.ts";
import { formatBytes } from "../../../base/bytes.ts";
import type { DeviceInfo } from "../../device-types.ts";
import type { MatrixConfig } from "../../../kernels/common/matrix-units.ts";
import type { GpuFeatures, GpuLimits } from "../plan/gpu.ts";
import { findAdapter } from "./adapter.ts";
import type { AdapterSummary } from "./adapter-summary.ts";
import { openAdapter } from "./enumerate.ts";

export interface GpuOptions {
  /** Part of the adapter's name, in any case; undefined: the best one that is hardware. */
  name?: string;
  /** Whether kernels run with Dawn's guards. Default: "off" on hardware, "full" on software, which is there for tests. */
  validation?: "full" | "off";
  /**
   * More of Dawn's flags, for benchmarks: "enable-dawn-features=skip_validation", or "backend=null", whose adapter is
   * asked for by the name "null".
   */
  dawnFlags?: readonly string[];
  /** Features to do without, though the adapter has them. */
  disable?: { subgroups?: boolean; shaderF16?: boolean; subgroupMatrix?: boolean };
  /** Lowers `limits.maxStorageBufferBindingSize`, so that small tensors are sharded too. */
  bindingLimit?: number;
  /** Bytes that all buffers together may take. Default: no bound but the GPU's own. */
  budget?: number;
  /** See `FindOptions`. */
  trustsCache?: boolean;
  signal?: AbortSignal;
}

/**
 * Dawn's toggles, always: fp16 on NVIDIA is off by default, subgroup matrices are experimental; both are only asked for
 * where the adapter has them. Workgroup memory is not cleared first: our kernels write what they read, the tests run
 * them over what other workgroups left there, and SwiftShader spends most of its compile time on the clearing.
 */
const DAWN_FEATURES = ["vulkan_enable_f16_on_nvidia", "allow_unsafe_apis", "disable_workgroup_init"];
/** Dawn rounds timestamps to 2^16 ns for fear of web pages; a profile of kernels is made of shorter times. */
const DAWN_FEATURES_OFF = ["timestamp_quantization"];
/**
 * With validation off, kernels do not clamp their indices. What makes that safe: every index comes from shapes that are
 * compile-time constants and from rows that `checkPass` has checked or a kernel has chosen below the vocabulary's size,
 * and the tests run every kernel with guards behind its buffers.
 *
 * Dawn's checks of calls (`skip_validation`) stay: they find a kernel that is over the limits of an adapter nobody has
 * tested on, which else computes zeros, and cost 0.1 ms in 250 dispatches (on two cores of a server, null backend).
 */
const DAWN_FEATURES_UNCHECKED = ["disable_robustness"];

const SUBGROUP_MATRIX = "chromium-experimental-subgroup-matrix" as GPUFeatureName;

export class GpuContext {
  readonly device: GPUDevice;
  readonly summary: AdapterSummary;
  readonly features: GpuFeatures;
  readonly limits: GpuLimits;
  /** Whether kernels run with Dawn's guards. */
  readonly validation: "full" | "off";
  readonly budget: number | undefined;
  readonly #bytes = new Map<GPUBuffer, number>();
  readonly #listeners: ((error: ModelComposeError) => void)[] = [];
  #allocatedBytes = 0;
  #failure: ModelComposeError | undefined;
  #isDestroyed = false;

  private constructor(
    device: GPUDevice,
    adapter: GPUAdapter,
    summary: AdapterSummary,
    validation: "full" | "off",
    { bindingLimit = Infinity, budget }: GpuOptions,
  ) {
    this.device = device;
    this.summary = summary;
    this.features = {
      subgroups: device.features.has("subgroups"),
      subgroupMinSize: device.features.has("subgroups") ? (adapter.info.subgroupMinSize ?? 0) : 0,
      subgroupMaxSize: device.features.has("subgroups") ? (adapter.info.subgroupMaxSize ?? 0) : 0,
      shaderF16: device.features.has("shader-f16"),
      timestamps: device.features.has("timestamp-query"),
      subgroupMatrix: device.features.has(SUBGROUP_MATRIX) ? subgroupMatrixShapes(adapter.info) : [],
    };
    const { limits } = device;
    this.limits = {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: Math.min(limits.maxStorageBufferBindingSize, bindingLimit),
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
    };
    this.validation = validation;
    this.budget = budget;
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault(); // else Dawn prints it
      this.#fail(`failed: ${sentence(event.error.message)}`, event.error);
    });
    void device.lost.then(({ reason, message }) => {
      if (!this.#isDestroyed) {
        this.#fail(`was lost (${reason}): ${sentence(message)}`);
      }
    });
  }

  /**
   * Opens an adapter with all that it has of what kernels need.
   *
   * @throws ModelComposeError as `findAdapter`, and "device" when the adapter gives no device; AbortError
   */
  static async open(options: GpuOptions = {}): Promise<GpuContext> {
    const { name, dawnFlags = [], disable = {}, trustsCache, signal } = options;
    throwIfAborted(signal);
    const listed = await findAdapter(name, { flags: dawnFlags, trustsCache, signal });
    const validation = options.validation ?? (listed.isSoftware ? "full" : "off");
    const { adapter, summary } = await openAdapter(listed, dawnFlagsOf(dawnFlags, validation));
    throwIfAborted(signal);
    const wanted: [GPUFeatureName, boolean | undefined][] = [
      ["subgroups", disable.subgroups],
      ["shader-f16", disable.shaderF16],
      ["timestamp-query", false],
      // Subgroup matrices build on subgroups and shader-f16.
      [SUBGROUP_MATRIX, disable.subgroupMatrix ?? (disable.subgroups || disable.shaderF16)],
    ];
    const requiredFeatures = wanted
      .filter(([feature, isDisabled]) => isDisabled !== true && adapter.features.has(feature))
      .map(([feature]) => feature);
    const device = await adapter
      .requestDevice({ requiredFeatures, requiredLimits: requiredLimits(adapter.limits) })
      .catch((error: unknown) => {
        throw new ModelComposeError(
          "device",
          `The GPU ${label(summary)} gives no device: ${errorMessage(error)}.`,
          { remedy: 'Use the device "wasm" (the CPU), or check the GPU\'s driver.', cause: error },
        );
      });
    const context = new GpuContext(device, adapter, summary, validation, options);
    if (signal?.aborted) {
      context.destroy();
    }
    throwIfAborted(signal);
    return context;
  }

  /** The device as loaded models report it. */
  get deviceInfo(): DeviceInfo {
    const { name, backend } = this.summary;
    return { kind: "webgpu", description: `webgpu (${name}, ${backend})`, adapter: name };
  }

  /** Bytes of the buffers that `createBuffer` made and nobody has released. */
  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  /** Set once the device is lost or an uncaptured error came: what every later call throws. */
  get failure(): ModelComposeError | undefined {
    return this.#failure;
  }

  /** Called once, when `failure` is set; at once when it is. */
  onFailure(listener: (error: ModelComposeError) => void): void {
    if (this.#failure === undefined) {
      this.#listeners.push(listener);
    } else {
      listener(this.#failure);
    }
  }

  /**
   * Checks that the device can be used.
   *
   * @throws ModelComposeError "disposed" after `destroy()`, else `failure` when it is set
   */
  checkAlive(): void {
    if (this.#isDestroyed) {
      throw new ModelComposeError("disposed", `The GPU ${label(this.summary)} was closed.`);
    }
    if (this.#failure !== undefined) {
      throw this.#failure;
    }
  }

  /**
   * A buffer in GPU memory, of zeros.
   *
   * @param size bytes; WebGPU wants multiples of 4 for copies
   * @throws ModelComposeError "out-of-memory" naming buffer, need, limit and what is allocated; "device"; "disposed"
   */
  async createBuffer(bufferLabel: string, size: number, usage: number): Promise<GPUBuffer> {
    this.checkAlive();
    this.#checkSize(bufferLabel, size);
    const { device } = this;
    // Counted before the first await: two calls at once must not both fit into the same bytes.
    this.#allocatedBytes += size;
    try {
      device.pushErrorScope("validation");
      device.pushErrorScope("out-of-memory");
      const buffer = device.createBuffer({ label: bufferLabel, size, usage });
      const [outOfMemory, invalid] = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
      if (outOfMemory !== null) {
        throw this.#outOfMemory(bufferLabel, size, "the GPU has no room for it", outOfMemory);
      }
      if (invalid !== null) {
        throw new ModelComposeError(
          "device",
          `The GPU ${label(this.summary)} refused the buffer "${bufferLabel}" of ${formatBytes(size)}: ${sentence(invalid.message)}`,
          { cause: invalid },
        );
      }
      this.checkAlive(); // a device that is lost gives empty buffers without an error
      this.#bytes.set(buffer, size);
      return buffer;
    } catch (error) {
      if (!this.#isDestroyed) {
        this.#allocatedBytes -= size;
      }
      throw this.#failure ?? error;
    }
  }

  /** Frees a buffer of `createBuffer`. Idempotent. */
  releaseBuffer(buffer: GPUBuffer): void {
    buffer.destroy();
    this.#allocatedBytes -= this.#bytes.get(buffer) ?? 0;
    this.#bytes.delete(buffer);
  }

  /** Frees the GPU and all that is on it; what waits for it rejects. Idempotent. */
  destroy(): void {
    if (this.#isDestroyed) {
      return;
    }
    this.#isDestroyed = true;
    this.#listeners.length = 0;
    this.#bytes.clear();
    this.#allocatedBytes = 0;
    this.device.destroy();
  }

  #checkSize(bufferLabel: string, size: number): void {
    const { maxBufferSize } = this.limits;
    if (size > maxBufferSize) {
      throw this.#outOfMemory(bufferLabel, size, `one buffer may have ${formatBytes(maxBufferSize)}`);
    }
    if (this.budget !== undefined && this.#allocatedBytes + size > this.budget) {
      throw this.#outOfMemory(bufferLabel, size, `the budget for GPU memory is ${formatBytes(this.budget)}`);
    }
  }

  #outOfMemory(bufferLabel: string, size: number, limit: string, cause?: unknown): ModelComposeError {
    return new ModelComposeError(
      "out-of-memory",
      `The buffer "${bufferLabel}" needs ${formatBytes(size)} on the GPU ${label(this.summary)}, but ${limit}; ` +
        `${formatBytes(this.#allocatedBytes - (cause === undefined ? 0 : size))} are allocated.`,
      {
        remedy:
          "Lower the context length (contextLength), raise the budget where there is one (gpuMemory), use a smaller " +
          'model or the device "wasm" (the CPU).',
        parameter: "contextLength",
        cause,
      },
    );
  }

  #fail(what: string, cause?: unknown): void {
    if (this.#failure !== undefined || this.#isDestroyed) {
      return;
    }
    const failure = new ModelComposeError("device", `The GPU ${label(this.summary)} ${what}`, {
      remedy: 'Load the model again; if that fails too, use the device "wasm" (the CPU).',
      cause,
    });
    this.#failure = failure;
    for (const listener of this.#listeners.splice(0)) {
      listener(failure);
    }
  }
}

/** The flags for Dawn, which takes the last of several with one name: so lists of features are joined. */
function dawnFlagsOf(more: readonly string[], validation: "full" | "off"): string[] {
  const on = [...DAWN_FEATURES, ...(validation === "off" ? DAWN_FEATURES_UNCHECKED : [])];
  const flags = new Map([
    ["enable-dawn-features", on.join(",")],
    ["disable-dawn-features", DAWN_FEATURES_OFF.join(",")],
  ]);
  for (const flag of more) {
    const [, name = flag, value = ""] = /^(.*?)=(.*)$/s.exec(flag) ?? [];
    const known = flags.get(name);
    flags.set(name, known === undefined ? value : `${known},${value}`);
  }
  return Array.from(flags, ([name, value]) => `${name}=${value}`);
}

/** The limits to ask for: all that the adapter has of what bounds kernels; WebGPU's defaults are those of phones. */
function requiredLimits(limits: GPUSupportedLimits): Record<string, number> {
  return {
    maxBufferSize: limits.maxBufferSize,
    maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
    maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
    maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
    maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
    maxComputeWorkgroupSizeY: limits.maxComputeWorkgroupSizeY,
    maxComputeWorkgroupSizeZ: limits.maxComputeWorkgroupSizeZ,
    maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
  };
}

/** Shapes of the adapter's subgroup matrices, which are Dawn's own addition to GPUAdapterInfo. */
function subgroupMatrixShapes(info: GPUAdapterInfo): MatrixConfig[] {
  const { subgroupMatrixConfigs = [] } = info as { subgroupMatrixConfigs?: Iterable<MatrixConfig> };
  return Array.from(subgroupMatrixConfigs, ({ M, N, K, componentType, resultComponentType }) => {
    return { M, N, K, componentType, resultComponentType };
  });
}

function label({ name, backend }: AdapterSummary): string {
  return `${name} (${backend})`;
}

/** The first line of one of Dawn's messages; what follows is where in Dawn. */
function sentence(message: string): string {
  const [line = ""] = message.trim().split("\n");
  return /[.!?]$/.test(line) ? line : `${line}.`;
}
