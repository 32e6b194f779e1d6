# An outsider of the same user: starts a program again and again and tries, from its exec on and until it ends, to trace it
# and to open its memory. Prints how many starts it got hold of. Arguments: how many starts, then the program.
import ctypes, os, sys, time

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE = 0x4206
starts, program = int(sys.argv[1]), sys.argv[2:]
own = open("/proc/self/comm").read()
got = 0
for _ in range(starts):
    pid = os.fork()
    if pid == 0:
        null = os.open("/dev/null", os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        os.execv(program[0], program)
    # The name changes in the exec, after the kernel has decided whether the new image may be looked into.
    while open(f"/proc/{pid}/comm").read() == own:
        pass
    held = False
    while not held and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        held = libc.ptrace(PTRACE_SEIZE, pid, 0, 0) == 0
        try:
            os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))
            held = True
        except OSError:
            pass
    if held:
        os.kill(pid, 9)
    os.waitpid(pid, 0)
    got += held
print(got)
