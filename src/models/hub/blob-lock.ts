/**
 * One process at a time fetches a blob. Node has no locks on files, so the lock is a file that its holder touches every
 * second; one that is no longer touched belongs to nobody. Should two hold it after all (a machine that slept), both write
 * the same bytes to the same places: the lock saves a second download, the content does not hang on it.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { dirname } from "node:path";
import { throwIfAborted } from "../../base/errors.ts";
import {
  createExclusively,
  discard,
  fileState,
  makeDirectory,
  readText,
  touch,
} from "../../runtime/platform/file-store.ts";

/** The times of a lock, in milliseconds. */
export interface LockTimes {
  readonly touch: number;
  readonly poll: number;
  /** How long a lock is not touched until it belongs to nobody. */
  readonly stale: number;
  /** The same time for a lock whose holder was a process of this machine that is gone. */
  readonly staleAfterEnd: number;
}

export const DEFAULT_LOCK_TIMES: LockTimes = { touch: 1000, poll: 200, stale: 15_000, staleAfterEnd: 2500 };

export interface LockWaiting {
  readonly signal?: AbortSignal;
  readonly times?: LockTimes;
  /** Called once when another process holds the lock, with its id where that is known. */
  readonly onWait?: (holder: number | undefined) => void;
  /** Asked while waiting: whether what the lock is for has been done. */
  readonly isDone: () => Promise<boolean>;
}

export interface BlobLock extends AsyncDisposable {
  /** Gives the lock back. Idempotent. */
  release(): Promise<void>;
}

interface Holder {
  readonly pid: number | undefined;
  readonly host: string | undefined;
}

/**
 * Takes the lock, or waits until it is free.
 *
 * @returns undefined when another process did the work meanwhile
 * @throws AbortError; ModelComposeError "download" when the folder cannot be written
 */
export async function acquireBlobLock(path: string, waiting: LockWaiting): Promise<BlobLock | undefined> {
  const { signal, times = DEFAULT_LOCK_TIMES, onWait, isDone } = waiting;
  await makeDirectory(dirname(path));
  const content = JSON.stringify({ pid: process.pid, host: hostname(), id: randomUUID() });
  let seen = { text: content, modified: -1, at: 0 };
  let hasTold = false;
  for (;;) {
    throwIfAborted(signal);
    if (await createExclusively(path, content)) {
      const lock = hold(path, content, times);
      // The work may have been done between the last look and now.
      if (!(await isDone())) {
        return lock;
      }
      await lock.release();
      return undefined;
    }
    const text = (await readText(path)) ?? "";
    const modified = (await fileState(path))?.modified ?? 0;
    const holder = readHolder(text);
    if (!hasTold) {
      onWait?.(holder.pid);
    }
    hasTold = true;
    if (seen.text !== text || seen.modified !== modified) {
      seen = { text, modified, at: performance.now() };
    }
    const patience = hasEnded(holder) ? times.staleAfterEnd : times.stale;
    if (performance.now() - seen.at > patience) {
      await takeAway(path, text);
    } else {
      await pause(times.poll, signal);
    }
    if (await isDone()) {
      return undefined;
    }
  }
}

function hold(path: string, content: string, times: LockTimes): BlobLock {
  let isHeld = true;
  const timer = setInterval(() => void touch(path).catch(() => false), times.touch).unref();
  const release = async (): Promise<void> => {
    if (!isHeld) {
      return;
    }
    isHeld = false;
    clearInterval(timer);
    // A process that took this lock for abandoned has a lock of its own there now.
    await takeAway(path, content);
  };
  return { release, [Symbol.asyncDispose]: release };
}

/** Takes an abandoned lock away, unless another one stands there by now. */
async function takeAway(path: string, text: string): Promise<void> {
  await removing(path, async () => {
    if ((await readText(path)) === text) {
      await discard(path);
    }
  });
}

/** How long a mark of a removal, which takes milliseconds, stays until its maker must have died over it. */
const REMOVAL_MILLISECONDS = 5000;
const REMOVAL_POLL_MILLISECONDS = 20;

/**
 * Does what looks at a lock and removes it, in one process at a time. No system removes a file only if it is still the one
 * that was read; so whoever removes one sets a mark first, and a lock that is new is never taken for the one before it.
 */
async function removing(path: string, work: () => Promise<void>): Promise<void> {
  const mark = `${path}.removing`;
  const content = randomUUID();
  let seen: { readonly text: string; readonly at: number } = { text: content, at: performance.now() };
  while (!(await createExclusively(mark, content))) {
    const text = (await readText(mark)) ?? "";
    if (text !== seen.text) {
      seen = { text, at: performance.now() };
    } else if (performance.now() - seen.at > REMOVAL_MILLISECONDS) {
      await discard(mark);
    }
    await sleep(REMOVAL_POLL_MILLISECONDS);
  }
  try {
    await work();
  } finally {
    await discard(mark);
  }
}

function readHolder(text: string): Holder {
  const unknown = { pid: undefined, host: undefined };
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) {
      return unknown;
    }
    const { pid, host } = value as Record<string, unknown>;
    return {
      pid: typeof pid === "number" ? pid : undefined,
      host: typeof host === "string" ? host : undefined,
    };
  } catch {
    // The lock is being written just now.
    return unknown;
  }
}

/** Whether the holder was a process of this machine that is not there any more. */
function hasEnded({ pid, host }: Holder): boolean {
  if (pid === undefined || host !== hostname()) {
    return false;
  }
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH";
  }
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(milliseconds, undefined, { signal });
  } catch (error) {
    throwIfAborted(signal);
    throw error;
  }
}
