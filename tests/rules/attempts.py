# What code inside the cage tries, by bare system calls of x86_64: one word a line, `held` or what got through.
import ctypes, errno, os, socket, sys

libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    result = libc.syscall(*args)
    return "held" if result == -1 else f"GOT {result}"
def attempt(name, what):
    try:
        result = what()
        print(name, result if isinstance(result, str) else f"GOT {result!r}")
    except OSError as error:
        print(name, "held" if error.errno in (errno.EACCES, errno.EPERM, errno.EAFNOSUPPORT, errno.ENOSYS, errno.EOPNOTSUPP) else f"odd {error}")
port = int(sys.argv[1])
inet = ("127.0.0.1", port)
def fastopen():
    s = socket.socket()
    return s.sendto(b"x", 0x20000000, inet)
def fastopen_connect():
    s = socket.socket()
    s.setsockopt(6, 30, 1)
    return "GOT an option"
attempt("setresuid", lambda: os.setresuid(0, 0, 0))
attempt("setgroups", lambda: os.setgroups([0]))
attempt("open-outside", lambda: open("/etc/shadow"))
attempt("list-root", lambda: os.listdir("/"))
attempt("write-tmp", lambda: open(sys.argv[2], "w"))
attempt("tcp", lambda: socket.create_connection(inet))
attempt("bind", lambda: socket.socket().bind(("127.0.0.1", 8123)))
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
attempt("mptcp", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262))
attempt("fastopen", fastopen)
attempt("fastopen-connect", fastopen_connect)
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt("unix", lambda: socket.socket(socket.AF_UNIX))
attempt("unix-datagrams", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
attempt("listen-unbound", lambda: socket.socket().listen())
attempt("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
attempt("alg", lambda: socket.socket(38, socket.SOCK_SEQPACKET))
attempt("packet", lambda: socket.socket(17, socket.SOCK_RAW))
attempt("vsock", lambda: socket.socket(40, socket.SOCK_STREAM))
attempt("signal-init", lambda: os.kill(os.getppid(), 0))
attempt("ptrace-init", lambda: call(101, 16, os.getppid(), 0, 0))
attempt("pidfd-getfd", lambda: call(438, os.pidfd_open(os.getppid()), 0, 0))
attempt("vm-readv", lambda: call(310, os.getppid(), 0, 0, 0, 0, 0))
attempt("unshare-user", lambda: call(272, 0x10000000))
attempt("clone-user", lambda: call(56, 0x10000000 | 17, 0, 0, 0, 0))
attempt("mount", lambda: call(165, 0, 0, 0, 0, 0))
attempt("chroot", lambda: call(161, b"/usr"))
attempt("io-uring", lambda: call(425, 8, 0))
attempt("bpf", lambda: call(321, 0, 0, 0))
attempt("keyctl", lambda: call(250, 0, 0))
attempt("perf", lambda: call(298, 0, 0, 0, 0, 0))
attempt("userfaultfd", lambda: call(323, 1))
attempt("seccomp", lambda: call(317, 1, 0, 0))
attempt("personality", lambda: call(135, 0x0400000))
attempt("memfd-exec", lambda: call(319, b"x", 0))
attempt("execveat", lambda: call(322, -100, b"/bin/true", 0, 0, 0))
attempt("dumpable", lambda: call(157, 4, 1, 0, 0, 0))
attempt("x32", lambda: call(0x40000000 | 39))
attempt("tiocsti", lambda: call(16, 0, 0x5412, b"x"))
attempt("tiocsti-high", lambda: call(16, 0, 0x5412 | 1 << 32, b"x"))
attempt("shmget", lambda: call(29, 0, 4096, 0o1600))
attempt("others-limits", lambda: call(302, os.getppid(), 7, 0, 0))
with open("/proc/self/status") as status:
    lines = dict(line.split(":", 1) for line in status)
for key in ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"):
    print(key, *lines[key].split())
