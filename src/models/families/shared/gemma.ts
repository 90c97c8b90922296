/** What the Gemma families have in common. */
import { z } from "zod";
import { windowKeys } from "../../config/attention-windows.ts";
import { unsupportedConfig, type ConfigFile } from "../../config/schema.ts";
import { llamaDecoderSchema, type LlamaDecoderConfig } from "./llama-decoder.ts";

/** Special tokens of their classes in transformers. */
export const GEMMA_TOKENS = { bos_token_id: 2, eos_token_id: 1, pad_token_id: 0 };

/** Published caps are 30 and 50. */
const cap = z.number().min(1e-3).max(1e5).nullish();

/** The keys of Gemma 2 and 3, whose classes know no `hidden_act` and no `mlp_bias`. */
export const gemmaSchema = llamaDecoderSchema.omit({ hidden_act: true, mlp_bias: true }).extend({
  ...windowKeys,
  hidden_activation: z.string().default("gelu_pytorch_tanh"),
  query_pre_attn_scalar: z.number().gt(0).max(1e6).default(256),
  attn_logit_softcapping: cap,
  final_logit_softcapping: cap,
});

/** What Gemma 2 and 3 have beside Llama. `attn_logit_softcapping` is Gemma 2's: Gemma 3's attention does not look at it. */
export function gemmaDifferences(
  values: z.output<typeof gemmaSchema>,
): Pick<LlamaDecoderConfig, "normOffset" | "embeddingScale" | "attentionScale" | "logitsCap" | "norms"> {
  return {
    normOffset: 1,
    // In f32, as transformers multiplies in the type of the embeddings; in bf16 it would round the root.
    embeddingScale: Math.sqrt(values.hidden_size),
    attentionScale: values.query_pre_attn_scalar ** -0.5,
    logitsCap: values.final_logit_softcapping ?? undefined,
    norms: {
      attention: { before: "input_layernorm", after: "post_attention_layernorm" },
      mlp: { before: "pre_feedforward_layernorm", after: "post_feedforward_layernorm" },
    },
  };
}

/**
 * Refuses models that see what comes after a token, which do not write text.
 *
 * @throws ModelComposeError "unsupported"
 */
export function refuseBidirectional(file: ConfigFile): void {
  if (file.values["use_bidirectional_attention"] === true) {
    throw unsupportedConfig(
      file,
      '"use_bidirectional_attention" is true; attention to later positions is not supported for this model.',
      "Use a model made for text generation.",
    );
  }
}
