"""What a shell beside the bot could see: every process's environ, memory and descriptors, and every file, searched for
needles that come by standard input (one a line). Prints `FOUND what` for each find, and at the end what it could look into."""

import os
import stat
import sys

needles = [line.strip().encode() for line in sys.stdin if line.strip()]
looked = {"environ": 0, "mem": 0, "fd": 0, "file": 0, "denied": 0}


def look(kind, what, chunks):
    try:
        data = b"".join(chunks())
    except OSError:
        looked["denied"] += 1
        return
    looked[kind] += 1
    if any(needle in data for needle in needles):
        print(f"FOUND {what}")


def whole(path):
    with open(path, "rb") as file:
        yield file.read()


def waiting(path):
    """What waits in a pipe or a file behind a descriptor, without hanging on an empty one."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield os.read(handle, 1 << 20)
    finally:
        os.close(handle)


def memory(pid):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            if "r" not in line.split()[1] or "[v" in line or end - start > 1 << 28:
                continue
            try:
                mem.seek(start)
                yield mem.read(end - start)
            except (OSError, ValueError):
                pass


me = str(os.getpid())
for pid in filter(str.isdigit, os.listdir("/proc")):
    if pid == me:
        continue
    look("environ", f"/proc/{pid}/environ", lambda: whole(f"/proc/{pid}/environ"))
    look("environ", f"/proc/{pid}/cmdline", lambda: whole(f"/proc/{pid}/cmdline"))
    look("mem", f"/proc/{pid}/mem", lambda: memory(pid))
    # The numbers are tried even where the directory cannot be listed.
    for fd in range(32):
        look("fd", f"/proc/{pid}/fd/{fd}", lambda: waiting(f"/proc/{pid}/fd/{fd}"))

for top, folders, files in os.walk("/"):
    folders[:] = [f for f in folders if os.path.join(top, f) not in ("/proc", "/sys")]
    for name in files:
        path = os.path.join(top, name)
        if stat.S_ISREG(os.lstat(path).st_mode):
            look("file", path, lambda: whole(path))

print("LOOKED", looked)
