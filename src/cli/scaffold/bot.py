#!/usr/bin/env python3
"""A sample bot: it reads its credentials from the pipe, then tries what a thief inside it would try.

Python's standard library alone. It never prints a value. It ends with 1 if anything was not refused.
"""

import json
import os
import socket
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.dirname(HERE)
PARENT = os.getppid()


class Refused(Exception):
    """An attempt that came to nothing."""


def credentials():
    """The whole pipe, once: a JSON object of names and texts. This is all that a real bot needs."""
    number = os.environ.get("PORTCULLIS_CREDENTIALS_FD")
    if number is None:
        sys.exit("no credentials: start this with `portcullis run -c portcullis.toml`")
    with os.fdopen(int(number), closefd=False) as pipe:
        return json.load(pipe)


def read(path):
    with open(path, "rb") as file:
        if not file.read(1):
            raise Refused("nothing there")


def open_only(path):
    with open(path, "rb"):
        pass  # Whoever may open a process's memory may read it.


def write(path):
    with open(path, "x"):
        os.unlink(path)


def connect(port):
    with socket.socket() as tcp:
        tcp.settimeout(2)
        try:
            tcp.connect(("127.0.0.1", port))
        except (ConnectionRefusedError, socket.timeout):
            pass  # The kernel let it out: that nobody answered is luck.


def send(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"x", ("127.0.0.1", port))


def read_again(number):
    if not os.read(number, 1):
        raise Refused("empty, and read once")


def search(values, places):
    if not any(value in place for value in values for place in places):
        raise Refused("not there")


def call(name, *arguments, undo=None):
    """A system call by its C name."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    result = getattr(libc, name)(*arguments)
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    if undo:
        undo(libc, result)


def arguments_of(pid):
    with open(f"/proc/{pid}/cmdline") as file:
        return file.read().split("\0")


def attempts(values, number):
    yield "read the age key", lambda: read(f"{FOLDER}/age.key")
    yield "read the sealed file", lambda: read(f"{FOLDER}/secrets.env.age")
    yield "read the pipe once more", lambda: read_again(number)
    yield "find a credential in the environment", lambda: search(values, os.environ.values())
    yield "find a credential in the arguments", lambda: search(values, arguments_of("self"))
    yield "read its parent's environment", lambda: read(f"/proc/{PARENT}/environ")
    yield "read its parent's memory", lambda: open_only(f"/proc/{PARENT}/mem")
    yield "read the machine's passwords", lambda: read("/etc/shadow")
    yield "look around", lambda: os.listdir(FOLDER)
    yield "leave a file in /tmp", lambda: write(f"/tmp/portcullis-sample-{os.getpid()}")
    yield "leave a file beside itself", lambda: write(f"{HERE}/portcullis-sample-{os.getpid()}")
    yield "connect to TCP port 8080", lambda: connect(8080)
    yield "send to UDP port 53", lambda: send(53)
    yield "become root", lambda: os.setuid(0)
    yield "make namespaces of its own", lambda: call("unshare", 0x10000000)
    yield "trace its parent", lambda: call("ptrace", 16, PARENT, 0, 0, undo=lambda libc, _: libc.ptrace(17, PARENT, 0, 0))
    yield "share memory with other programs", lambda: call(
        "shmget", 0, 4096, 0o1600, undo=lambda libc, segment: libc.shmctl(segment, 0, None)
    )


def outcome(attempt):
    """What came of it, and whether it was refused."""
    try:
        attempt()
    except ImportError as error:
        return f"not tried: {error}", True
    except Refused as error:
        return f"refused: {error}", True
    except OSError as error:
        return f"refused: {error.strerror}", True
    return "GOT IT", False


def main():
    secrets = credentials()
    print("the bot has its credentials:")
    for name, value in secrets.items():
        print(f"  {name:36} {len(value)} characters, not shown")
    print("and tried what a thief would:")
    number = int(os.environ["PORTCULLIS_CREDENTIALS_FD"])
    got = 0
    for name, attempt in attempts(list(secrets.values()), number):
        text, refused = outcome(attempt)
        got += not refused
        print(f"  {name:36} {text}")
    print(f"{got} of these were NOT refused" if got else "everything was refused")
    return 1 if got else 0


if __name__ == "__main__":
    sys.exit(main())
