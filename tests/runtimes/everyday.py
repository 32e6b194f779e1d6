# What an ordinary Python program does: each line printed is a thing that worked.
import asyncio, concurrent.futures, ctypes, hashlib, json, os, queue, signal, socket, sqlite3, ssl, subprocess, sys, tempfile, threading, time

port, data = int(sys.argv[1]), sys.argv[2]
done = []
box = queue.Queue()
threading.Thread(target=box.put, args=(1,)).start()
assert box.get(timeout=30) == 1
done.append("threads")
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert sum(pool.map(abs, range(-4, 0))) == 10
done.append("thread pool")
async def both():
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"ping\n")
    await writer.drain()
    line = await reader.readline()
    writer.close()
    process = await asyncio.create_subprocess_exec("true")
    return line, await process.wait()
assert asyncio.run(both()) == (b"ping\n", 0)
done.append("asyncio")
ssl.create_default_context()
done.append("ssl")
base = sqlite3.connect(os.path.join(data, "base.sqlite"))
base.execute("create table t (x)")
base.execute("insert into t values (1)")
base.commit()
done.append("sqlite")
assert subprocess.run(["sh", "-c", "echo hello | tr a-z A-Z"], capture_output=True, text=True).stdout == "HELLO\n"
done.append("subprocess")
with tempfile.NamedTemporaryFile(dir=data) as file:
    file.write(b"x")
    os.replace(file.name, file.name)
done.append("files")
heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(1))
os.kill(os.getpid(), signal.SIGUSR1)
time.sleep(0.01)
assert heard
done.append("signals")
assert socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM)
done.append("names")
ctypes.CDLL(None).getpid()
done.append("ctypes")
assert sys.executable == "/usr/bin/python3" and hashlib.sha256(b"").hexdigest() and json.dumps({})
done.append("itself")
pid = os.fork()
if pid == 0:
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
done.append("fork")
print(" | ".join(done))
