/** The flags of the `models` commands; each takes some of them. */
export interface ModelsFlags {
  readonly cacheDir?: string;
  readonly revision?: string;
  readonly json?: boolean;
  readonly yes?: boolean;
  readonly quantized?: boolean;
  readonly repair?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}
