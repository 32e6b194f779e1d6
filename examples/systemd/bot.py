"""A bot in miniature for portcullis@.service: its credentials once from the pipe, then its work until TERM; HUP is a reload."""

import json
import os
import signal
import sys

with os.fdopen(int(os.environ["PORTCULLIS_CREDENTIALS_FD"])) as pipe:
    credentials = json.load(pipe)


def end(*_):
    print("bot: last word: no order left open", flush=True)
    sys.exit(0)


signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGHUP, lambda *_: print("bot: reads its settings anew", flush=True))
# No value is ever printed.
print("bot: ready as uid", os.getuid(), "with", ", ".join(sorted(credentials)), flush=True)
while True:
    signal.pause()
