/** What a conversation with a person goes through: who answers, who reads, and who shows. */
import type { AnswerView } from "./answer-view.ts";
import type { Input } from "./line-editor.ts";
import type { Partner } from "./partner.ts";

/** Reads what a person enters. */
export interface Editor {
  read(prompt: string): Promise<Input>;
  onInterrupt: (() => void) | undefined;
}

/** What a session talks through, and with whom. */
export interface SessionParts {
  readonly partner: Partner;
  readonly model: string;
  readonly editor: Editor;
  /** Makes what shows an answer. @param folds whether reasoning is folded when the answer begins */
  readonly view: (folds: boolean) => AnswerView;
  /** Shows lines that were asked for. */
  readonly say: (text: string) => void;
  readonly warn: (text: string) => void;
  readonly fail: (error: unknown) => void;
  readonly prefilling: (progress: { readonly done: number; readonly total: number }) => void;
  /** Writes to the clipboard through the terminal; undefined where there is none. */
  readonly copy: ((text: string) => void) | undefined;
  /** Ends the program as Ctrl-C does. */
  readonly leave: () => void;
  readonly signal: AbortSignal;
  /** Where files are that messages name. */
  readonly directory: string;
  readonly keeps: boolean;
}
