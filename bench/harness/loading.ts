/** Measures loads beside reads of the files alone. */
import { availableMemory } from "../../src/runtime/platform/system.ts";
import type { BenchDevice, LoadedModel } from "./bench-device.ts";
import { totalBytes, type Extent } from "./extents.ts";
import { readFiles } from "./file-read.ts";
import { timeToFirstToken } from "./measurements.ts";
import { PeakRss } from "./peak-rss.ts";
import type { Progress } from "./progress.ts";
import { summarize, type Summary } from "./statistics.ts";

const MOST_WARM_UP_READS = 4;

/**
 * Reads the files as the measurement does until that gets no faster: what follows measures neither the disk nor, on a
 * virtual machine, the host's first allocation of memory. Returns false where files and copy do not fit into memory.
 */
export async function warmFileCache(
  extents: readonly Extent[],
  readers: number,
  progress: Progress,
): Promise<boolean> {
  if (2 * totalBytes(extents) > availableMemory()) {
    progress.notice("The weights fit into memory once, not twice: their files are read from the disk.");
    return false;
  }
  let last = Infinity;
  for (let turn = 1; turn <= MOST_WARM_UP_READS; turn++) {
    progress.phase("Reading the files into the system's cache");
    const seconds = await readFiles(extents, readers);
    if (seconds > last * 0.8) {
      break;
    }
    last = seconds;
  }
  return true;
}

/** The model, and what was measured of its loads. */
export interface Loaded {
  /** The model of the last load. */
  model: LoadedModel;
  loadSeconds: Summary;
  fileReadSeconds: Summary;
  /** Seconds to the first token of the first prompt after each load. */
  firstTokenSeconds: Summary;
  /** Samples of the memory in use since the beginning of the last load. */
  peakRss: PeakRss;
}

/**
 * Loads the model several times, each time after a read of the files alone, and lets it answer a prompt.
 *
 * @param prompt prompt for the time to the first token
 */
export async function measureLoading(
  device: BenchDevice,
  extents: readonly Extent[],
  { repeat, prompt }: { repeat: number; prompt: Int32Array },
  progress: Progress,
): Promise<Loaded> {
  const fileReadSeconds: number[] = [];
  const loadSeconds: number[] = [];
  const firstTokenSeconds: number[] = [];
  for (let turn = 1; ; turn++) {
    progress.phase(`Reading the files (${turn} of ${repeat})`);
    fileReadSeconds.push(await readFiles(extents, device.readers));

    progress.phase(`Loading (${turn} of ${repeat})`);
    const peakRss = new PeakRss();
    const start = performance.now();
    const model = await device.load((done, total) => {
      progress.step(`Loading (${turn} of ${repeat}): ${Math.floor((100 * done) / total)} %`);
    });
    loadSeconds.push((performance.now() - start) / 1000);
    try {
      firstTokenSeconds.push(await timeToFirstToken(model, prompt));
    } catch (error) {
      peakRss.stop();
      await model.executable.dispose();
      throw error;
    }
    if (turn === repeat) {
      return {
        model,
        loadSeconds: summarize(loadSeconds),
        fileReadSeconds: summarize(fileReadSeconds),
        firstTokenSeconds: summarize(firstTokenSeconds),
        peakRss,
      };
    }
    peakRss.stop();
    await model.executable.dispose();
  }
}
