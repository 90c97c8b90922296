/** Entry of a compute worker: owns its rows of every matrix and its share of the KV cache, runs whole passes. */
import { instantiateKernels, type Kernels } from "../../kernels/wasm-module.ts";
import { BroadcastChannel, nextMessage, workerScope } from "../platform/workers.ts";
import { Batch } from "./batch.ts";
import { compileEntry, stepsFor, type CompiledEntry, type ForwardEntry } from "./compile.ts";
import { Control, PeerFailed } from "./control.ts";
import { KvBlocks } from "./kv-blocks.ts";
import type { LogitsKernel } from "./linear-steps.ts";
import { loadWeights } from "./loader.ts";
import { measure } from "./measure.ts";
import { createBankMemory, openBank } from "./memory.ts";
import { Cancelled, meet, runSteps, type PassContext, type TraceSink, type Worker } from "./pass.ts";
import { columnRange, LOGIT_ROWS } from "./plan.ts";
import {
  type LoadCommand,
  type Reply,
  type Request,
  type Response,
  type RunCommand,
  type SnapshotCommand,
  type WorkerData,
} from "./protocol.ts";
import { AbortError, ModelComposeError } from "../../base/errors.ts";
import { serializeError } from "../posted-error.ts";
import { ENCODE, FORWARD, lineColumns } from "../program.ts";

const { port, data } = workerScope();
const {
  index,
  plan,
  program,
  control: controlBuffer,
  blockTable,
  spinMilliseconds,
  module,
  integerDot,
  drafts,
  channel,
} = data as WorkerData;
const control = new Control(controlBuffer, { threads: plan.threads, spinMilliseconds });
let worker: Worker | undefined;
const compiled = new Map<string, CompiledEntry>();

/** What the workers of a group tell each other before they can work together. */
interface Introduction {
  index: number;
  memories: WebAssembly.Memory[];
}

/** Introductions that came in; everyone listens ("open") before anyone speaks ("load"). */
const introductions = new Map<number, Introduction>();
const wire = new BroadcastChannel(channel);
wire.unref();
let onIntroduction: () => void = () => undefined;
wire.onmessage = (event: unknown) => {
  const introduction = (event as { data: Introduction }).data;
  introductions.set(introduction.index, introduction);
  onIntroduction();
};

/** Resolves when every worker's memories are known. The main thread never holds a memory. */
async function meetPeers(): Promise<Worker> {
  const mine: Introduction = { index, memories: plan.banks.map(createBankMemory) };
  wire.postMessage(mine);
  introductions.set(index, mine);
  await new Promise<void>((resolve) => {
    onIntroduction = () => {
      if (introductions.size === plan.threads) {
        resolve();
      }
    };
    onIntroduction();
  });
  wire.close();
  const memories = Array.from({ length: plan.threads }, (_, peer) => introductions.get(peer)?.memories ?? []);
  const all = memories.map((banks) => banks.map((memory) => new Float32Array(memory.buffer)));
  const banks = mine.memories.map((memory) => openBank(module, memory));
  introductions.clear();
  const foreign = new Map<WebAssembly.Memory, Kernels>();
  const kernelsOf = (peer: number, bank: number): Kernels => {
    if (peer === index) {
      return banks[bank].kernels;
    }
    const memory = memories[peer][bank];
    const kernels = foreign.get(memory) ?? instantiateKernels(module, memory);
    foreign.set(memory, kernels);
    return kernels;
  };
  return {
    index,
    threads: plan.threads,
    plan,
    banks,
    all,
    kernelsOf,
    integerDot,
    drafts,
    blocks: new KvBlocks({
      plan,
      index,
      memories: banks.map(({ u8 }) => u8),
      table: new Int32Array(blockTable),
    }),
    control,
    clock: { enabled: false, seconds: 0 },
  };
}

async function load({ command, read, write }: LoadCommand & { command: number }): Promise<Reply> {
  worker ??= await meetPeers();
  const reply = loadWeights(plan, index, worker.banks, {
    onBytes: (count) => {
      control.addLoaded(count);
    },
    shouldStop: () => control.isCancelRequested(command),
    read,
    write,
  });
  for (const entry of program.entries.keys()) {
    compiled.set(entry, compileEntry(worker, program, entry));
  }
  return reply;
}

function ready(): Worker {
  if (worker === undefined) {
    throw new Error("The worker got a command before it was loaded.");
  }
  return worker;
}

function entryOf(name: string): CompiledEntry {
  const entry = compiled.get(name);
  if (entry === undefined) {
    throw new Error(`Unknown entry "${name}".`);
  }
  return entry;
}

function forwardEntry(): ForwardEntry {
  const { head, ...entry } = entryOf(FORWARD);
  if (head === undefined) {
    throw new Error(`The entry "${FORWARD}" ends without logits.`);
  }
  return { ...entry, head };
}

function runPass(command: number, request: RunCommand): Reply {
  const start = performance.now();
  const self = ready();
  const entry = entryOf(request.entry);
  const context: PassContext = {
    command,
    rows: request.tokens.length,
    tokens: request.tokens,
    slots: request.slots,
    positions: request.positions,
    sourceLength: request.sourceLength ?? 0,
    trace: request.trace === undefined ? undefined : traceInto(self, request),
  };
  if (request.entry !== ENCODE) {
    self.blocks.reserve(context);
  }
  runSteps(stepsFor(entry, context, plan), context, self.clock);
  if (entry.head !== undefined) {
    copyLogits(self, entry.head.logits, request, context);
  }
  meet(self, context);
  return { seconds: (performance.now() - start) / 1000 };
}

/** Copies this worker's columns of the logits of the rows that were asked for. */
function copyLogits(self: Worker, logits: LogitsKernel, request: RunCommand, context: PassContext): void {
  const { f32 } = self.banks[logits.bank];
  const result = new Float32Array(request.logits);
  const { start, end } = logits.columns;
  for (let from = 0; from < request.logitRows.length; from += LOGIT_ROWS) {
    const rows = request.logitRows.subarray(from, from + LOGIT_ROWS);
    logits.compute(rows, context);
    for (let i = 0; i < rows.length; i++) {
      const row = logits.address / 4 + i * logits.stride;
      result.set(f32.subarray(row + start, row + end), (from + i) * program.vocabSize + start);
    }
    if (control.isCancelRequested(context.command)) {
      break;
    }
  }
}

/** For debugging: each worker writes its columns of what it just computed; whole buffers come from the leader. */
function traceInto(self: Worker, { trace, tokens }: RunCommand): TraceSink {
  return (name, buffer, isWhole, bank) => {
    const target = trace?.get(name);
    if (target === undefined || (isWhole && index !== 0)) {
      return;
    }
    const columns = lineColumns(program, buffer);
    const lines = program.lines.get(buffer) ?? 1;
    const own = isWhole ? { start: 0, end: columns } : columnRange(columns, index, plan.threads);
    const out = new Float32Array(target);
    const from = plan.banks[bank].buffers[buffer] / 4;
    const stride = plan.strides[buffer] / 4 / lines;
    for (let r = 0; r < tokens.length * lines; r++) {
      const row = from + r * stride;
      out.set(self.banks[bank].f32.subarray(row + own.start, row + own.end), r * columns + own.start);
    }
  };
}

/** This worker's blocks of snapshots, by layer. */
const snapshots = new Map<number, Uint8Array[]>();

function keep({ snapshot, slot, length }: SnapshotCommand & { kind: "snapshot" }): void {
  try {
    snapshots.set(snapshot, ready().blocks.save(slot, length));
  } catch (error) {
    // The sequence itself is whole, and so is everything else.
    throw new RequestRefused(
      new ModelComposeError("out-of-memory", `There is no memory for a snapshot of ${length} positions.`, {
        remedy: "Release snapshots that are not needed any more.",
        cause: error,
      }),
    );
  }
}

function restore(snapshot: number, slot: number): void {
  const kept = snapshots.get(snapshot);
  if (kept === undefined) {
    throw new Error(`There is no snapshot ${snapshot}.`);
  }
  ready().blocks.restore(kept, slot);
}

/** The sequences that are decoded; there are none before the program is loaded. */
let batch: Batch | undefined;

function batchOfSequences(): Batch {
  batch ??= new Batch(ready(), forwardEntry(), program.vocabSize, (command, outcome) => {
    post(
      "error" in outcome
        ? { kind: "error", command, index, error: serializeError(outcome.error) }
        : { kind: "done", command, index, reply: outcome.reply },
    );
  });
  return batch;
}

/** Refuses one request without harm to the worker. */
class RequestRefused extends Error {
  constructor(cause: unknown) {
    super("The request was refused.", { cause });
  }
}

/** What `execute` gives for a command that is answered later. */
const LATER = Symbol("later");

function execute(request: Exclude<Request, { kind: "load" }>): Reply | typeof LATER {
  switch (request.kind) {
    case "open":
      return {};
    case "run":
      return runPass(request.command, request);
    case "decode":
      batchOfSequences().join(request.command, request);
      return LATER;
    case "leave":
      if (batch?.leave(request.decode) === true) {
        post({ kind: "cancelled", command: request.decode, index });
      }
      return {};
    case "fork":
      ready().blocks.fork(request.from, request.to, request.length);
      return {};
    case "truncate":
      ready().blocks.truncate(request.slot, request.length);
      return {};
    case "snapshot":
      keep(request);
      return {};
    case "restore":
      restore(request.snapshot, request.slot);
      return {};
    case "release":
      snapshots.delete(request.snapshot);
      return {};
    case "measure":
      return measure(ready(), request.what);
  }
}

/** A worker's own failure frees its peers; anything that leaves the group intact does not. */
function failure(command: number, error: unknown): Response {
  if (error instanceof PeerFailed) {
    return { kind: "left", command, index };
  }
  if (error instanceof Cancelled) {
    return { kind: "cancelled", command, index };
  }
  if (error instanceof AbortError) {
    return { kind: control.isPoisoned ? "left" : "cancelled", command, index };
  }
  if (error instanceof RequestRefused) {
    return { kind: "error", command, index, error: serializeError(error.cause) };
  }
  control.poison(index);
  return { kind: "failed", command, index, error: serializeError(error) };
}

function post(response: Response): void {
  port.postMessage(response);
}

/** Number of the last command that was taken. */
let taken = 0;

function take(request: Request): void {
  const { command } = request;
  taken = command;
  if (request.kind === "load") {
    void load(request).then(
      (reply) => {
        post({ kind: "done", command, index, reply });
      },
      (error: unknown) => {
        post(failure(command, error));
      },
    );
    return;
  }
  try {
    const reply = execute(request);
    if (reply !== LATER) {
      post({ kind: "done", command, index, reply });
    }
  } catch (error) {
    post(failure(command, error));
  }
}

/**
 * Decodes as long as there are sequences. Between two steps commands are taken, as many by each worker: those that all had been
 * sent when they last met.
 */
function decodeBatch(): void {
  while (batch?.isEmpty === false && !control.isPoisoned) {
    if (taken < control.agreed) {
      take(nextMessage(port) as Request);
      continue;
    }
    try {
      batch.step();
    } catch (error) {
      // No command is to blame: whoever waits is told that the group has failed.
      post(failure(taken, error));
      return;
    }
  }
}

port.on("message", (request: Request) => {
  take(request);
  decodeBatch();
});
