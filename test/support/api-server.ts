/** A server with the bundled model, which has a chat template of these tests, for clients of other APIs. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadModelSized } from "../../src/models/model.ts";
import { startServer, type ComposeServer, type ServerOptions } from "../../src/server/server.ts";
import { loadText } from "./compose.ts";
import { modelPath } from "./golden.ts";

/** A template whose prompt is what everybody said: the model only continues stories. */
export const TEMPLATE =
  "{{ bos_token }}{% for message in messages %}{{ message.content }}{% endfor %}{% if enable_thinking %}<think>{% endif %}";

/** A folder with the bundled model and the template. */
export interface TalesFolder {
  readonly directory: string;
  remove(): void;
}

export function talesWithTemplate(): TalesFolder {
  const parent = mkdtempSync(join(tmpdir(), "model-compose-"));
  const directory = join(parent, "tales");
  cpSync(modelPath("tales"), directory, { recursive: true });
  writeFileSync(join(directory, "chat_template.jinja"), TEMPLATE);
  return { directory, remove: () => rmSync(parent, { recursive: true, force: true }) };
}

/** Starts a server from the text of a file. Models are loaded for real unless the options have others. */
export async function startApi(yaml: string, options: Partial<ServerOptions> = {}): Promise<ComposeServer> {
  return startServer(loadText(yaml), {
    loadModel: loadModelSized,
    overrides: { device: "wasm", threads: 1 },
    port: 0,
    environment: new Map(),
    ...options,
  });
}
