/** The compose file that `init` writes. */

/** What a person chooses. */
export interface StarterChoices {
  readonly model: string;
  readonly task: "chat" | "text";
  /** Of the server; the web UI has the next one. */
  readonly port: number;
}

/** A commented compose file, in the newer dialect. */
export function starterFile({ model, task, port }: StarterChoices): string {
  // JSON's texts are YAML's too, whatever stands in them.
  const name = JSON.stringify(model);
  const webUiPort = port === 65_535 || port === 0 ? 8081 : port + 1;
  return `# A file of model-compose: which model, and what it is asked.
#   model-compose run --input prompt="Once upon a time"    runs it once
#   model-compose up                                       serves it: HTTP API and web page
#   model-compose chat -f model-compose.yml                talks with it in the terminal (task chat-completion)

controller:
  adapter:
    type: http-server
    port: ${port} # http://127.0.0.1:${port}/api; OpenAI's clients use http://127.0.0.1:${port}/v1
  webui:
    port: ${webUiPort}

workflow:
  title: ${task === "chat" ? "Ask" : "Continue a text"}
  # \${input} is what comes with --input, from the page or over HTTP.
  job:
    input: \${input}
    output: \${output}

component:
  type: model
  task: ${task === "chat" ? "chat-completion" : "text-generation"}
  model: ${name} # a repository on the Hugging Face hub, a folder (./name), or tales
  # device: auto         # wasm is the CPU, webgpu a GPU
  # quantization: int8   # or int4: smaller weights
${task === "chat" ? chatAction : textAction}`;
}

const chatAction = `  action:
    messages:
      - role: system
        content: You are a helpful assistant. Answer briefly.
      - role: user
        content: \${input.prompt as text}
    max_output_length: \${input.max_tokens as integer | 512}
    temperature: \${input.temperature as number | 0.7} # 0 always takes the likeliest token
    output:
      answer: \${response.content}
`;

const textAction = `  action:
    prompt: \${input.prompt as text}
    max_output_length: \${input.max_tokens as integer | 256}
    temperature: \${input.temperature as number | 0.7} # 0 always takes the likeliest token
    repetition_penalty: 1.1 # above 1, what was said is said less again
`;
