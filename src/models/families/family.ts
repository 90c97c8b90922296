/** What a family of models is: how its config.json files are recognised, and how one becomes a forward pass. */
import type { Program } from "../../runtime/program.ts";
import type { BaseConfig } from "../config/base.ts";
import type { ConfigFile } from "../config/schema.ts";
import type { ExpertModules } from "../expert-tensors.ts";

/** The configuration of a config.json that was read, and the forward pass that it describes. */
export interface FamilyModel {
  readonly config: BaseConfig;
  readonly program: Program;
  /**
   * The forward pass for a checkpoint that has some of the matrices that the configuration ties with values of their own.
   *
   * @param separate names of `Family.tied`
   */
  readonly programWith: (separate: ReadonlySet<string>) => Program;
}

/** A row of the table of families (table.ts). */
export interface Family {
  /** `model_type` of config.json, which is the Program's `family` too. */
  readonly type: string;
  /** The entries of config.json's `architectures` that run: those with an LM head, or whose head is their embeddings. */
  readonly architectures: readonly string[];
  /**
   * Prefix of the base model's tensors in a checkpoint of the whole model. A checkpoint of the base model alone spells
   * the same names without it (withBasePrefix). Empty where both spell them alike.
   */
  readonly basePrefix: string;
  /**
   * Prefixes in the place of others, as [here, in files], under which files of models with more than a language model have it;
   * the first that a file has rules.
   */
  readonly otherPrefixes?: readonly (readonly [string, string])[];
  /** What files call the parts of mixtures of experts, where layers have some. */
  readonly experts?: ExpertModules;
  /** The methods, by config.json's `quantization_config`, of quantised weights that are read. Absent: none. */
  readonly quantizations?: readonly string[];
  /**
   * The matrices that are one where config.json ties them (tie_word_embeddings), by the Program's names. The Program names
   * the first.
   */
  readonly tied: readonly [string, ...string[]];
  /**
   * The class of transformers' tokenizer where a model has vocab.json and merges.txt and its files name no class. Absent:
   * the family's models come with tokenizer.json.
   */
  readonly tokenizerClass?: string;
  /** Repositories on the Hugging Face hub that are known to run, best known first. */
  readonly published: readonly string[];
  /**
   * The model that a config.json of this family describes.
   *
   * @throws ModelComposeError "invalid-config" for wrong values, "unsupported" for what the family could have but the
   *   forward pass has not
   */
  readonly describe: (file: ConfigFile) => FamilyModel;
}

/** A family in two steps, which the file of a family writes and tests may call one by one. */
export interface FamilyDefinition<Config extends BaseConfig> extends Omit<Family, "describe"> {
  /** Checks the values of a config.json. Its errors are those of `Family.describe`. */
  readonly readConfig: (file: ConfigFile) => Config;
  /**
   * The forward pass of a configuration that was checked.
   *
   * @param separate those of `tied` that are matrices of their own though the configuration ties them
   */
  readonly buildProgram: (config: Config, separate: ReadonlySet<string>) => Program;
}

/** Joins the two steps, so that the table need not know the families' types of configuration. */
export function defineFamily<Config extends BaseConfig>(
  definition: FamilyDefinition<Config>,
): Family & FamilyDefinition<Config> {
  return {
    ...definition,
    describe: (file) => {
      const config = definition.readConfig(file);
      const programWith = (separate: ReadonlySet<string>): Program =>
        definition.buildProgram(config, separate);
      return { config, program: programWith(new Set()), programWith };
    },
  };
}
