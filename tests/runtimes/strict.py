# What a bot in Python does under the strict profile, and what it cannot: each word printed is a thing that was as it should be.
import asyncio, ctypes, errno, hashlib, json, mmap, os, socket, sqlite3, ssl, subprocess, sys, threading

port, data = int(sys.argv[1]), sys.argv[2]
done = []
thread = threading.Thread(target=lambda: done.append("threads"))
thread.start()
thread.join()
async def ping():
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"ping\n")
    line = await reader.readline()
    writer.close()
    return line
assert asyncio.run(ping()) == b"ping\n"
done.append("asyncio")
ssl.create_default_context()
hashlib.sha256(json.dumps({}).encode()).hexdigest()
done.append("ssl")
sqlite3.connect(os.path.join(data, "base.sqlite")).execute("create table t (x)")
done.append("sqlite")
pid = os.fork()
if pid == 0:
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
done.append("fork")

def refused(what, call, *codes):
    try:
        call()
    except OSError as error:
        if error.errno in codes:
            done.append("no " + what)
            return
        raise
    raise SystemExit("there was " + what)

refused("program", lambda: subprocess.run(["/bin/true"]), errno.EACCES)
refused("code", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC), errno.EACCES)
refused("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), errno.EACCES)
libc = ctypes.CDLL(None, use_errno=True)
page = mmap.mmap(-1, 4096)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
def executable():
    if libc.mprotect(ctypes.c_void_p(address), 4096, 5) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
refused("later code", executable, errno.EACCES)
PR_GET_MDWE = 66
assert libc.prctl(PR_GET_MDWE, 0, 0, 0, 0) == 1
done.append("held")
print(" | ".join(done))
