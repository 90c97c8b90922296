import type { Api } from "../client/api.ts";
import type { Conversations } from "../client/conversations.ts";
import type { History } from "../client/history.ts";
import type { WireWorkflow } from "../client/wire.ts";
import type { Drafts } from "./drafts.ts";

/** What stands behind one tab. */
export interface Panel {
  readonly element: HTMLElement;
  /** Does what Ctrl and Enter ask for. */
  run(): void;
  /** Ends what goes on. */
  stop(): void;
  /** Hears whether it is what is seen. */
  shown?(isShown: boolean): void;
}

/** What all panels of the page share. */
export interface PanelServices {
  readonly api: Api;
  /** Address at which people reach the API, for commands. */
  readonly apiUrl: string;
  readonly history: History;
  readonly conversations: Conversations;
  readonly drafts: Drafts;
  readonly workflows: readonly WireWorkflow[];
}
