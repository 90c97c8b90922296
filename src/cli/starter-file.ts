/** The compose file that `init` writes. */
import { stringify } from "yaml";

/** What a person chooses. */
export interface StarterChoices {
  readonly model: string;
  readonly task: "chat" | "text";
  /** Of the server, in 1 .. LAST_PORT; the page has the next one. */
  readonly port: number;
}

export const LAST_PORT = 65_534;

/** The first prompt to try, by task. */
export const FIRST_PROMPTS: Readonly<Record<StarterChoices["task"], string>> = {
  chat: "Why is the sky blue?",
  text: "Once upon a time",
};

/** A commented compose file. @param schema where editors find the JSON Schema of such files, relative to the file */
export function starterFile({ model, task, port }: StarterChoices, schema?: string): string {
  const name = stringify(model, { lineWidth: 0 }).trimEnd();
  const isChat = task === "chat";
  const forEditors = schema === undefined ? "" : `# yaml-language-server: $schema=${schema}\n`;
  return `${forEditors}# Which model runs, and what it is asked. In this folder,
#   model-compose run --input prompt="${FIRST_PROMPTS[task]}"
# runs it once,
${isChat ? "#   model-compose chat -f model-compose.yml\n# talks with it in the terminal, and\n" : ""}#   model-compose up
# serves it: as an HTTP API, OpenAI's API and a page to work on.

controller:
  port: ${port} # http://localhost:${port}/api; clients of OpenAI's API take http://localhost:${port}/v1
  webui:
    port: ${port + 1} # the page: http://localhost:${port + 1}

workflow:
  title: ${isChat ? "Ask" : "Continue a text"}

component:
  type: model
  task: ${isChat ? "chat-completion" : "text-generation"}
  # A repository on the Hugging Face hub, a folder (./name), or tales, which comes along. A repository is fetched once.
  model: ${name}
  # device: webgpu # or wasm, the CPU. Without this line: a GPU where there is one
  # quantization: int8 # or int4: smaller weights for less memory, and more speed on the CPU
${isChat ? CHAT : TEXT}`;
}

const PARAMETERS = `  params:
    # Behind "|" stands the default: --input max_tokens=100, the page or a field of a request says another value.
    max_output_length: \${input.max_tokens as integer | 256}
    temperature: \${input.temperature as number | 0.7} # 0 always takes the likeliest word
`;

const CHAT = `  messages:
    - role: system
      content: You are a helpful assistant. Answer briefly.
    - role: user
      content: \${input.prompt as text} # what comes with --input, from the page or in a request
${PARAMETERS}  output: \${response.content}
`;

const TEXT = `  text: \${input.prompt as text} # what comes with --input, from the page or in a request
${PARAMETERS}    repetition_penalty: 1.1 # above 1, what was written is written less again
  output: \${result}
`;
