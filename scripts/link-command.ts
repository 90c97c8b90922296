/**
 * Puts `model-compose` beside the commands of the dependencies (node_modules/.bin), where npx and npm scripts find it
 * in every folder of the project. npm makes this link for every package but the one it stands in.
 */
import { chmod, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

export async function linkCommand(root: string): Promise<void> {
  const cli = join(root, "dist", "cli.js");
  const link = join(root, "node_modules", ".bin", "model-compose");
  await chmod(cli, 0o755);
  if (process.platform === "win32") {
    await writeFile(`${link}.cmd`, '@node "%~dp0\\..\\..\\dist\\cli.js" %*\r\n');
    return;
  }
  await rm(link, { force: true });
  await symlink(join("..", "..", "dist", "cli.js"), link);
}
