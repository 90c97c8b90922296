/** A headless Chromium, from an npm package. */
import chromium from "@sparticuz/chromium";
import { chromium as playwright, type Browser } from "playwright-core";

/** Whether there is a browser. The package carries Chromium for this platform only; here it must start. */
export const hasBrowser = process.platform === "linux" && process.arch === "x64";

export async function startBrowser(): Promise<Browser> {
  const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
  return playwright.launch({ executablePath: await chromium.executablePath(), args });
}
