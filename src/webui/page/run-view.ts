/** The output of one workflow: of the run that goes on, or of the last one. */
import { answerFacts, writerWords } from "../client/answer-facts.ts";
import { outputParts } from "../client/outputs.ts";
import type { RunState } from "../client/run-state.ts";
import { copyButton, h } from "./dom.ts";
import { factsView } from "./facts-view.ts";
import { partView } from "./part-view.ts";
import { keptTokens } from "../client/token-alternatives.ts";
import { tokensView } from "./tokens-view.ts";

export class RunView {
  readonly element: HTMLElement;
  readonly #facts = h("p", { class: "facts" });
  readonly #progress = h("progress", { max: 1, "aria-label": "Progress", hidden: true });
  readonly #warnings = h("ul", { class: "warnings", hidden: true });
  readonly #error = h("div", { class: "error", role: "alert", hidden: true });
  readonly #texts = h("div", { class: "parts" });
  /** What is known of the run when it has ended. */
  readonly #after = h("div", { class: "after" });
  /** The live texts that are on the page. */
  #live: LiveText[] = [];
  #frame: number | undefined;
  #hasRun = false;

  /** @param title what stands above it */
  constructor(labelledBy: string, title = "Output") {
    this.element = h(
      "section",
      { class: "result", "aria-labelledby": labelledBy },
      h("h3", { id: labelledBy }, title),
      this.#facts,
      this.#progress,
      this.#error,
      this.#warnings,
      this.#texts,
      this.#after,
    );
  }

  /** Says what there is before the first run of this page, and nothing after it. */
  rest(hasEarlierRuns: boolean): void {
    if (!this.#hasRun) {
      this.#facts.textContent = hasEarlierRuns ? "The earlier runs are below." : "Nothing has run yet.";
    }
  }

  /** Brings the page up to date, at most once a frame. */
  update(state: RunState, now: () => number): void {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = undefined;
      this.#show(state, now());
    });
  }

  /** Brings the page up to date at once. */
  finish(state: RunState, now: number): void {
    if (this.#frame !== undefined) {
      cancelAnimationFrame(this.#frame);
    }
    this.#frame = undefined;
    this.#show(state, now);
    if (state.output !== undefined) {
      this.#live = [];
      this.#replaceTexts(outputParts(state.output.value).map(partView));
    }
    const logprobs = state.texts.map((one) => one.logprobs).filter((each) => each !== undefined);
    const facts = answerFacts(state, now);
    this.#after.replaceChildren(
      ...(facts.model === undefined ? [] : [factsView(facts, writerWords(facts))]),
      ...logprobs.map((one) => tokensView(keptTokens(one))),
    );
  }

  /** Puts the result in the place of the texts that were written live; what a person reads stays where it is. */
  #replaceTexts(parts: readonly HTMLElement[]): void {
    const places = this.#boxes().map((box) => ({ top: box.scrollTop, follows: isAtEnd(box) }));
    const pageTop = scrollY;
    this.#texts.replaceChildren(...parts);
    for (const [i, box] of this.#boxes().entries()) {
      const place = places[i];
      if (place !== undefined) {
        box.scrollTop = place.follows ? box.scrollHeight : place.top;
      }
    }
    scrollTo({ top: pageTop, behavior: "instant" });
  }

  #boxes(): readonly HTMLElement[] {
    return [...this.#texts.querySelectorAll<HTMLElement>(".part > .text")];
  }

  /**
   * Scrolls to the output where it is below what the screen shows, as on a phone: nobody would see that anything
   * happens.
   */
  reveal(): void {
    if (this.element.getBoundingClientRect().top > innerHeight - 150) {
      this.element.scrollIntoView();
    }
  }

  clear(): void {
    this.#live = [];
    this.#texts.replaceChildren();
    this.#after.replaceChildren();
    this.#warnings.replaceChildren();
  }

  #show(state: RunState, now: number): void {
    this.#hasRun = true;
    this.element.setAttribute("aria-busy", String(!state.ended));
    this.#facts.textContent = factsOf(state, now);
    const { progress } = state;
    this.#progress.hidden = progress === undefined;
    if (progress !== undefined) {
      this.#progress.value = progress.total > 0 ? progress.done / progress.total : 0;
    }
    this.#error.hidden = state.error === undefined;
    if (this.#error.textContent !== (state.error?.message ?? "")) {
      this.#error.textContent = state.error?.message ?? "";
    }
    this.#warnings.hidden = state.warnings.length === 0;
    for (const warning of state.warnings.slice(this.#warnings.childElementCount)) {
      this.#warnings.append(h("li", {}, warning));
    }
    if (state.output === undefined) {
      this.#showTexts(state);
    }
  }

  #showTexts(state: RunState): void {
    // The events began again.
    if (state.texts.length < this.#live.length) {
      this.#live = [];
      this.#texts.replaceChildren();
    }
    for (const [i, { text, reasoning }] of state.texts.entries()) {
      const live = (this.#live[i] ??= this.#addLive(i));
      if (reasoning !== undefined) {
        showText((live.reasoning ??= addReasoning(live.text)), reasoning);
      }
      showText(live.text, text);
    }
  }

  #addLive(index: number): LiveText {
    const text = document.createTextNode("");
    const box = h("pre", { class: "text live", tabindex: 0 }, text);
    const copy = copyButton("Copy", () => text.data);
    const title = index === 0 ? "New text" : `New text ${index + 1}`;
    this.#texts.append(h("article", { class: "part" }, h("header", {}, h("h4", {}, title), copy), box));
    return { text, reasoning: undefined };
  }
}

/** Where a text that is being written stands on the page. */
interface LiveText {
  readonly text: Text;
  /** Present once the model has thought. */
  reasoning: Text | undefined;
}

/** Adds a box that can be closed, above the one of the text, for what the model thinks. */
function addReasoning(text: Text): Text {
  const node = document.createTextNode("");
  const box = h("pre", { class: "text live", tabindex: 0 }, node);
  text.parentElement?.before(
    h("details", { class: "reasoning", open: true }, h("summary", {}, "Reasoning"), box),
  );
  return node;
}

function isAtEnd(box: HTMLElement): boolean {
  return box.scrollHeight - box.scrollTop - box.clientHeight < 40;
}

/** Adds what is new to a box, which goes on showing its end if it did. */
function showText(node: Text, text: string): void {
  const box = node.parentElement;
  const follows = box !== null && isAtEnd(box);
  if (text.length < node.length) {
    node.data = text;
  } else if (text.length > node.length) {
    node.appendData(text.slice(node.length));
  }
  if (follows) {
    box.scrollTop = box.scrollHeight;
  }
}

/** The facts of a run: "Running · 3.2 s · 120 tokens · 35.1 tokens/s". */
function factsOf(state: RunState, now: number): string {
  const rate = state.tokensPerSecond(now);
  const facts = [
    state.activity(),
    `${state.seconds(now).toFixed(1)} s`,
    state.tokens === undefined ? undefined : `${state.tokens} ${state.tokens === 1 ? "token" : "tokens"}`,
    rate === undefined ? undefined : `${rate.toFixed(1)} tokens/s`,
    state.seeds.length === 0 ? undefined : `seed ${[...new Set(state.seeds)].join(", ")}`,
  ];
  return facts.filter((fact) => fact !== undefined).join(" · ");
}
