"""A bot with one way of life a word: `bot.py WORD [NUMBER]`. Says on standard output what happens to it, one line each."""
import ctypes
import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time


def say(*words):
    print("bot:", *words, flush=True)


def credentials():
    with os.fdopen(int(os.environ["PORTCULLIS_CREDENTIALS_FD"]), "rb") as pipe:
        return json.load(pipe)


def notify(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.connect(os.environ["NOTIFY_SOCKET"])
        manager.sendall(text.encode())


def on(number, act):
    signal.signal(number, lambda *_: act())


def last_word():
    say("last word")
    sys.exit(0)


def wait_for(number):
    signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    say("waits")
    signal.sigwait([number])


def lives():
    on(signal.SIGTERM, last_word)
    on(signal.SIGHUP, lambda: say("heard HUP"))
    on(signal.SIGUSR1, lambda: say("heard USR1"))
    say("lives as", os.getuid(), *sorted(name + "=" + hashlib.sha256(value.encode()).hexdigest() for name, value in credentials().items()))


def slow():
    on(signal.SIGTERM, lambda: (say("heard TERM"), time.sleep(1.5), last_word()))
    say("lives")


def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A second one, in a session of its own.
    subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], start_new_session=True)
    say("lives")


def bare():
    say("lives")


def exits():
    sys.exit(int(sys.argv[2]))


def notifies():
    wait_for(signal.SIGUSR1)
    notify("READY=1\nSTATUS=said by the bot itself")
    on(signal.SIGTERM, last_word)
    say("lives")


def watched():
    say("watched", os.environ["WATCHDOG_PID"] == str(os.getpid()), os.environ["WATCHDOG_USEC"])
    on(signal.SIGTERM, last_word)
    stopped = []
    on(signal.SIGUSR1, lambda: stopped.append(True))
    notify("READY=1")
    pings = 0
    while not stopped:
        notify("WATCHDOG=1")
        pings += 1
        if pings == 20:
            say("pinged")
        time.sleep(int(os.environ["WATCHDOG_USEC"]) / 4e6)
    say("is silent")


def serves():
    on(signal.SIGTERM, last_word)
    names = os.environ.get("LISTEN_FDNAMES")
    say("serves", os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] == str(os.getpid()), names)
    listeners = [socket.socket(fileno=3 + n) for n in range(int(os.environ["LISTEN_FDS"]))]
    while True:
        for listener in select.select(listeners, [], [])[0]:
            with listener.accept()[0] as peer:
                peer.sendall(b"from behind the gate\n")


def tries():
    def attempt(what, act):
        try:
            act()
            say("tried", what, "DONE")
        except OSError as error:
            say("tried", what, "refused:", error.strerror)

    attempt("own state", lambda: open(sys.argv[2] + "/x", "w").close())
    for path in sys.argv[3:]:
        attempt("reading " + path, lambda: open(path, "rb").read(1))
    attempt("writing beside it", lambda: open("/var/lib/x", "w").close())
    attempt("its parent's memory", lambda: open("/proc/%d/mem" % os.getppid(), "rb"))
    attempt("a unix socket", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    attempt("a datagram socket", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    attempt("UDP", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    def unshare():
        if ctypes.CDLL(None, use_errno=True).unshare(0x10000000) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    attempt("a namespace", unshare)
    say("tried all")


globals()[sys.argv[1]]()
while True:
    signal.pause()
