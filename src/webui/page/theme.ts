/** Runs before the first paint: the colours that the person chose here before. */
import { applyTheme, chosenTheme } from "./theme-choice.ts";

applyTheme(chosenTheme());
