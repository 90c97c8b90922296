/** Shell completion: `model-compose completion SHELL` prints a script, which asks the hidden command `complete`. */
import tab from "@bomb.sh/tab/commander";
import type { Command } from "commander";
import { FAMILIES } from "../models/families/table.ts";

/** Values of flags that are known but not the only ones: others are a name of an adapter, a folder, a repository. */
const SUGGESTIONS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  device: {
    auto: "a hardware GPU when there is one, else the CPU",
    wasm: "the CPU",
    webgpu: "the best hardware GPU",
    "webgpu:?": "list the adapters",
  },
  model: { tales: "the bundled model", ...supportedModels() },
};

/** The commands that take a repository as their argument. */
const MODEL_COMMANDS = ["chat", "doctor", "models pull", "models verify", "models remove", "models info"];

/**
 * What the script for bash needs of the package bash-completion, for shells without it: the words up to the cursor, split at
 * white space alone.
 */
const BASH_WORDS = `if ! declare -F _get_comp_words_by_ref > /dev/null; then
    _get_comp_words_by_ref() {
        local line="\${COMP_LINE:0:COMP_POINT}"
        read -ra words <<< "$line"
        if [[ "$line" == *[[:space:]] ]]; then
            words+=("")
        fi
        cword=$((\${#words[@]} - 1))
        cur="\${words[cword]}"
        prev=""
        if ((cword > 0)); then
            prev="\${words[cword - 1]}"
        fi
    }
fi
`;

/** The family of each supported repository on the hub, by repository. */
function supportedModels(): Record<string, string> {
  return Object.fromEntries(FAMILIES.flatMap(({ type, published }) => published.map((id) => [id, type])));
}

/** Adds the commands of completion; call it when all others are there. */
export function addCompletion(program: Command): void {
  const { commands } = tab(program, { completionCommandName: "completion" });
  for (const name of MODEL_COMMANDS) {
    const argument = commands.get(name)?.arguments.get("model");
    if (argument === undefined) {
      continue;
    }
    argument.handler = (complete) => {
      for (const [value, description] of Object.entries(supportedModels())) {
        complete(value, description);
      }
    };
  }
  for (const { options } of commands.values()) {
    for (const [name, values] of Object.entries(SUGGESTIONS)) {
      const option = options.get(name);
      if (option === undefined) {
        continue;
      }
      option.handler = (complete) => {
        for (const [value, description] of Object.entries(values)) {
          complete(value, description);
        }
      };
    }
  }
  program.commands
    .find((command) => command.name() === "completion")
    ?.description("print a completion script for a shell")
    .hook("preAction", (_command, { args: [shell] }) => {
      if (shell === "bash") {
        process.stdout.write(BASH_WORDS);
      }
    })
    .addHelpText(
      "after",
      `
Examples:
  source <(model-compose completion bash)
  model-compose completion zsh > ~/.zsh/completions/_model-compose
  model-compose completion fish > ~/.config/fish/completions/model-compose.fish
  model-compose completion powershell | Out-String | Invoke-Expression`,
    );
}
