// The credentials of this start, in five lines of Node: one JSON object of names and texts, which can be read once.
//
// Take the number in the variable, never /dev/fd or /proc/self/fd: the kernel refuses those where root made the pipe.

import { readFileSync } from "node:fs";

const credentials = JSON.parse(readFileSync(Number(process.env.PORTCULLIS_CREDENTIALS_FD), "utf8"));
for (const [name, value] of Object.entries(credentials)) {
  console.log(name, value.length, "characters");
}
