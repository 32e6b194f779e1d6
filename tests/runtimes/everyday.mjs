// What an ordinary Node program does: each word printed is a thing that worked.
import { execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes, generateKeyPairSync } from "node:crypto";
import dns from "node:dns/promises";
import fs from "node:fs/promises";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { Worker } from "node:worker_threads";

const [port, data] = [Number(process.argv[2]), process.argv[3]];
const done = [];
await fs.writeFile(path.join(data, "file.txt"), "x");
await fs.rename(path.join(data, "file.txt"), path.join(data, "other.txt"));
done.push("files");
const echo = await new Promise((resolve, reject) => {
  const socket = net.connect(port, "127.0.0.1", () => socket.write("ping\n"));
  socket.on("data", (chunk) => { socket.destroy(); resolve(chunk.toString()); });
  socket.on("error", reject);
});
if (echo !== "ping\n") throw new Error(echo);
done.push("net");
await dns.lookup("localhost");
done.push("names");
createHash("sha256").update(randomBytes(16)).digest();
generateKeyPairSync("ed25519");
done.push("crypto");
await new Promise((resolve, reject) => {
  const worker = new Worker("require('worker_threads').parentPort.postMessage(1)", { eval: true });
  worker.on("message", resolve).on("error", reject);
});
done.push("workers");
execFileSync("sh", ["-c", "exit 0"]);
await new Promise((resolve) => spawn(process.execPath, ["-e", "0"]).on("exit", resolve));
done.push("children");
if (os.cpus().length < 1) throw new Error("no cpus");
await new Promise((resolve) => setTimeout(resolve, 5));
done.push("timers");
console.log(done.join(" | "));
