import { expect, test } from "vitest";
import { Channel } from "./channel.ts";

test("a slow reader slows the writers down", async () => {
  const queue = new Channel<number>(4);
  let sent = 0;
  const writer = (async () => {
    for (let i = 0; i < 100; i++) {
      await queue.send(i);
      sent = i + 1;
    }
    queue.close();
  })();
  const seen: number[] = [];
  for await (const event of queue.read()) {
    seen.push(event);
    await new Promise((resolve) => setTimeout(resolve, 1));
    expect(sent - seen.length).toBeLessThanOrEqual(8);
  }
  await writer;
  expect(seen).toEqual(Array.from({ length: 100 }, (_, i) => i));
});

test("what was written before the end is read, then the error", async () => {
  const queue = new Channel<string>();
  queue.post("a");
  queue.close({ error: new Error("over") });
  queue.post("too late");
  const seen: string[] = [];
  const read = (async () => {
    for await (const event of queue.read()) {
      seen.push(event);
    }
  })();
  await expect(read).rejects.toThrow("over");
  expect(seen).toEqual(["a"]);
});

test("when the reader has left, writers do not wait", async () => {
  const queue = new Channel<number>(1);
  const writer = Promise.all([queue.send(1), queue.send(2), queue.send(3)]);
  for await (const event of queue.read()) {
    expect(event).toBe(1);
    break;
  }
  await writer;
});
