"""A bot in miniature: takes its credentials from the pipe, signs heartbeats with them, says a last word on TERM."""

import hashlib
import hmac
import json
import os
import signal
import sys
import threading


def credentials():
    """The pipe is read once; a second reader finds nothing."""
    with os.fdopen(int(os.environ["PORTCULLIS_CREDENTIALS_FD"])) as pipe:
        return json.load(pipe)


def sign(secret, text):
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


stopping = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopping.set())

keys = credentials()
print(f"bot: ready as uid {os.getuid()} with {', '.join(sorted(keys))}")
print(f"bot: signed {sign(keys['api_secret'], 'heartbeat ' + keys['api_key'])}")
while not stopping.wait(60):
    print("bot: alive")
print("bot: last word: no order left open")
sys.exit(0)
