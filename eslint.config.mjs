import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

// AssemblyScript (*.as.ts) is a language of its own: its compiler asc checks it, the TypeScript rules cannot.
export default defineConfig(
  {
    ignores: ["dist/", "build/", "coverage/", "src/kernels/generated/", "**/*.as.ts", "**/*.js", "**/*.mjs"],
  },
  tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      curly: ["error", "all"],
      eqeqeq: "error",
      "no-console": "error",
      "prefer-const": "error",
    },
  },
  {
    files: ["test/**", "src/**/*.test.ts"],
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off",
    },
  },
);
