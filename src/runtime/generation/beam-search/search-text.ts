/** Runs beam search for a job and makes texts of what it finds: nothing is known of them before the end. */
import { textOf, wholeText } from "../generated-text.ts";
import { timingsOf, type FirstRows, type Outcome, type OutcomeSequence, type Sink } from "../outcome.ts";
import type { GeneratorParts, Job } from "../request.ts";
import { beamSearch, type FoundSequence } from "./search.ts";

/** Searches with several sequences at once; the best is sent as one piece. */
export async function searchText(
  parts: GeneratorParts,
  job: Job,
  first: FirstRows,
  sink: Sink,
  signal: AbortSignal | undefined,
): Promise<Outcome> {
  const { settings, processing } = job;
  const { stop } = settings;
  let promptAt = first.start;
  const found = await beamSearch(
    parts.executable,
    {
      vocabSize: parts.vocabSize,
      slots: first.slots,
      tokens: first.rows,
      position: first.position,
      sourceLength: first.sourceLength,
      prompt: [...job.begin],
      limit: job.limit,
      beams: settings.beams,
      sampling: settings.sampling,
      processing,
      sequence: settings.sequence,
      holdsStop:
        stop.length === 0 ? undefined : (tokens) => wholeText(textOf(parts, stop), tokens, true).isStopped,
      onProgress: first.onProgress,
      onPrompt: () => (promptAt = performance.now()),
      isOpen: sink.isOpen,
    },
    signal,
  );
  const sequences = found.map((sequence) => finishedSequence(parts, job, sequence));
  const [{ newText, tokens }] = sequences;
  sink.emit({ text: newText, tokens });
  const end = performance.now();
  const prefillSeconds = (promptAt - first.start) / 1000;
  const timings = timingsOf(
    job.ids.length - first.cached,
    prefillSeconds,
    (end - promptAt) / 1000,
    tokens.length,
  );
  return { sequences, timings: { ...timings, timeToFirstTokenSeconds: (end - first.start) / 1000 } };
}

function finishedSequence(
  parts: GeneratorParts,
  { processing, settings, limitReason }: Job,
  { tokens, score, end }: FoundSequence,
): OutcomeSequence {
  const { eosTokenIds, rules } = processing;
  const last = tokens[tokens.length - 1] ?? -1;
  const isForced = end === "limit" && rules?.forcedEosTokenIds.includes(last) === true;
  const isEnd = isForced || eosTokenIds.includes(last);
  const shown = isEnd ? tokens.slice(0, -1) : tokens;
  const { text, isStopped } = wholeText(textOf(parts, settings.stop), shown, !isEnd);
  const finishReason = isStopped ? "stop" : end === "limit" ? limitReason : end;
  return { tokens: [...tokens], newText: text, finishReason, score };
}
