"""The figures of tests/bench/serve: throughput beside nginx, and good clients beside attackers."""

import itertools
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

BINARY, SECONDS = os.path.abspath(sys.argv[1]), float(sys.argv[2])
TICKS = os.sysconf("SC_CLK_TCK")
GOOD = b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
# What it is held to. Memory is an error here; the time is a figure, since the machine may have something else to do.
MEMORY_LIMIT_MIB = 32
P99_LIMIT_MS = 50


def document(size, sequence=1):
    """A document of about so many bytes, fresh for as long as this takes."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    one = {"ok": True, "state": "up", "since": now, "consecutive_failures": 0, "last_checked": now, "next_check": now,
           "http": {"ok": True, "outcome": "pass", "url": "http://127.0.0.1:5000/health", "status_code": 200, "latency_ms": 45},
           "systemd": {"ok": True, "outcome": "pass", "unit": "service.service", "state": "active"}}
    length = len(json.dumps(one)) + 60
    services = {f"service_{n}": {"key": f"service_{n}", "name": f"Service {n}", **one} for n in range(size // length)}
    return json.dumps({
        "schema": 1, "mode": "production_monitoring", "overall": "up", "ok_count": len(services), "fail_count": 0,
        "total": len(services), "generated_at": now, "sequence": sequence, "boot_id": "", "stale_after_s": 3600, "host": {},
        "monitor": {"state": "running", "version": "0.1.0", "pid": 1, "started_at": now, "config": {"loaded_at": now}},
        "services": services})


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


class Wellkeep:
    """The viewer as its unit starts it, with a document of so many bytes."""

    def __init__(self, size):
        self.folder = tempfile.mkdtemp()
        with open(f"{self.folder}/status.json", "w") as file:
            file.write(document(size))
        self.process = subprocess.Popen(
            [BINARY, "serve", "--listen", "127.0.0.1:0", "--status-file", f"{self.folder}/status.json", "--config",
             f"{self.folder}/none.yml"], stderr=subprocess.PIPE, text=True,
            # What systemd gives it, whatever the attackers need.
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024)),
            env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072", "JOURNAL_STREAM": ""})
        line = next(line for line in self.process.stderr if "serving on http" in line)
        self.port = int(re.search(r":(\d+)/", line)[1])
        self.path = "/api/status"

    def pids(self):
        return [self.process.pid]

    def figure(self, name):
        return int(re.search(rf"^{name}:\s+(\d+)", open(f"/proc/{self.process.pid}/status").read(), re.M)[1])

    def renew(self, size):
        """Replaces the document with a later one, as the monitor does when something changes: every 100 ms at most."""
        for sequence in itertools.count(2):
            with open(f"{self.folder}/new", "w") as file:
                file.write(document(size, sequence))
            os.rename(f"{self.folder}/new", f"{self.folder}/status.json")
            time.sleep(0.1)

    def stop(self):
        self.process.terminate()
        log = self.process.stderr.read()
        if self.process.wait() != 0 or re.search("panicked|gave no answer|fault|does not answer", log):
            raise SystemExit(f"the viewer was harmed: {log}")
        shutil.rmtree(self.folder)


class Nginx:
    """nginx with the same bytes as a file."""

    def __init__(self, size):
        self.folder = tempfile.mkdtemp()
        os.chmod(self.folder, 0o755)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        with open(f"{self.folder}/status.json", "w") as file:
            file.write(document(size))
        with open(f"{self.folder}/nginx.conf", "w") as file:
            file.write(f"""worker_processes auto; daemon off; pid {self.folder}/pid; error_log stderr crit;
                events {{ worker_connections 1024; }}
                http {{ access_log off; sendfile on; tcp_nopush on; open_file_cache max=10;
                server {{ listen 127.0.0.1:{self.port}; root {self.folder}; }} }}""")
        self.process = subprocess.Popen(["nginx", "-c", f"{self.folder}/nginx.conf"])
        self.path = "/status.json"
        deadline = time.time() + 30
        while time.time() < deadline:
            try:
                return socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                time.sleep(0.02)
        raise SystemExit("nginx does not start")

    def pids(self):
        return subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout.split()

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)


def wrk(server, connections):
    """requests/s, CPU in µs a request, p50, p99, errors"""
    before = cpu_seconds(server.pids())
    said = subprocess.run(["wrk", "-t", str(min(connections, 2)), "-c", str(connections), "-d", f"{SECONDS:.0f}s",
                           "--latency", f"http://127.0.0.1:{server.port}{server.path}"], capture_output=True, text=True).stdout
    used = cpu_seconds(server.pids()) - before
    requests = int(re.search(r"(\d+) requests in", said)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    p50, p99 = (re.search(rf"^\s+{share}%\s+(\S+)", said, re.M)[1] for share in (50, 99))
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    broken = re.search(r"Socket errors: (.*)", said)
    told = ", ".join(filter(None, [errors and f"{errors[1]} refused", broken and broken[1]])) or "none"
    return f"{rate:,.0f} | {used / max(requests, 1) * 1e6:.0f} | {p50} | {p99} | {told}"


def connect(port, source):
    client = socket.socket()
    client.bind((source, 0))
    client.settimeout(10)
    client.connect(("127.0.0.1", port))
    return client


def keep(port, source, count, doing=None, pause=0.0, first=b"", small=False):
    """Holds so many connections, all of which begin with the same, and does something with each again and again."""
    def new():
        client = connect(port, source)
        if small:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            client.send(first)
        except OSError:
            pass
        client.setblocking(False)
        return client
    clients = [new() for _ in range(count)]
    while True:
        for index, client in enumerate(clients):
            try:
                if doing:
                    doing(client)
            except BlockingIOError:
                pass
            except OSError:
                client.close()
                clients[index] = new()
        time.sleep(pause)


def idle(port, source):
    keep(port, source, 2000, pause=1)


def slow(port, source):
    keep(port, source, 500, lambda client: client.send(b"x"), 1, b"GET / HTTP/1.1\r\nX: ")


def half(port, source):
    keep(port, source, 500, pause=1, first=b"GET /api/status HTTP/1.1\r\nHost: local")


def endless(port, source):
    keep(port, source, 50, lambda client: client.send(b"x" * 65536), 0.01, b"GET / HTTP/1.1\r\nX: ")


def bodies(port, source):
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n\r\n"
    keep(port, source, 50, lambda client: client.send(b"x" * 65536), 0.01, head)


def deaf(port, source):
    keep(port, source, 300, lambda client: client.send(b""), 1, b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n", True)


def trickling(port, source):
    # So fast that it is never called stalled, and so slow that it is let go before it has all.
    def doing(client):
        if client.recv(4096) == b"":
            raise OSError("hung up")
    keep(port, source, 300, doing, 0.2, b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n", True)


def nonsense(port, source):
    host = b" HTTP/1.1\r\nHost: localhost\r\n"
    requests = [
        b"DELETE /api/status" + host + b"\r\n", b"\xff\xfe /" + host + b"\r\n", b"GET /../../etc/passwd" + host + b"\r\n",
        b"GET /%00" + host + b"\r\n", b"GET /api/status/%ff%fe" + host + b"\r\n", b"GET /\xff\xfe" + host + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
        b"GET /" + host + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x" + host + b"\r\n",
        b"GET /" + host + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\nGET /x" + host + b"\r\n",
        b"GET /" + host + b"X: a\n\nGET /x" + host + b"\r\n", b"GET /" + host + b"X: y\r\n" * 70 + b"\r\n"]
    count = 0
    while True:
        client = connect(port, source)
        client.send(requests[count % len(requests)])
        client.recv(65536)
        client.close()
        count += 1


def resets(port, source):
    linger = bytes([1, 0, 0, 0, 0, 0, 0, 0])
    count = 0
    while True:
        client = connect(port, source)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        client.send(GOOD[:count % len(GOOD) + 1])
        client.close()
        count += 1


def quick(port, source):
    while True:
        client = connect(port, source)
        client.send(GOOD)
        while client.recv(65536):
            pass
        client.close()


def greedy(port, source):
    def doing(client):
        client.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        if client.recv(262144) == b"":
            raise OSError("hung up")
    keep(port, source, 250, doing, 0.005)


def good_clients(port):
    """Times of good clients, one after the other with a little pause, each with a connection of its own."""
    times, lost, end = [], 0, time.time() + SECONDS
    while time.time() < end:
        begun = time.perf_counter()
        try:
            client = connect(port, "127.0.0.1")
            client.send(GOOD)
            received = client.recv(65536)
            ok = received.startswith(b"HTTP/1.1 200")
            while received:
                received = client.recv(65536)
            client.close()
        except OSError:
            ok = False
        lost += not ok
        times.append((time.perf_counter() - begun) * 1000)
        time.sleep(0.004)
    times.sort()
    at = lambda share: times[min(len(times) - 1, int(len(times) * share))]
    p99 = f"{at(0.99):.1f}" if at(0.99) < P99_LIMIT_MS else f"**{at(0.99):.1f}**"
    return f"{len(times)} | {lost} | {at(0.5):.1f} | {p99} | {times[-1]:.1f}"


def attacked(name, attack, source, size, renewed=False):
    server = Wellkeep(size)
    beside = [(attack, (server.port, source))] if attack else []
    if renewed:
        beside.append((server.renew, (size,)))
    beside = [multiprocessing.Process(target=doing, args=about, daemon=True) for doing, about in beside]
    for process in beside:
        process.start()
    if attack:
        time.sleep(1)
    threads = server.figure("Threads")
    figures = good_clients(server.port)
    threads = max(threads, server.figure("Threads"))
    memory = server.figure("VmHWM") / 1024
    for process in beside:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    server.stop()
    print(f"| {name} | {figures} | {memory:.1f} | {threads} |", flush=True)
    if memory > MEMORY_LIMIT_MIB:
        raise SystemExit(f"{memory:.0f} MiB of memory")


def main():
    print(f"\n20 KB document, {SECONDS:.0f} s each\n\n| | connections | requests/s | CPU µs a request | p50 | p99 | errors |")
    print("|---|---:|---:|---:|---:|---:|---|")
    for connections in (1, 16, 256):
        for server in (Wellkeep(20_000), Nginx(20_000)):
            print(f"| {type(server).__name__} | {connections} | {wrk(server, connections)} |", flush=True)
            server.stop()
    print("\n| attack | good requests | not answered | p50, ms | p99, ms | worst, ms | memory, MiB | threads |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    attacked("none", None, "", 20_000)
    attacked("none, 1.6 MB document", None, "", 1_600_000)
    attacked("none, 1.6 MB document, ten a second", None, "", 1_600_000, True)
    attacks = [("2,000 idle", idle), ("500 slow, a byte a second", slow), ("500 half requests", half), ("50 endless heads", endless),
               ("50 bodies of 100 MB", bodies), ("resets", resets), ("quick requests", quick), ("methods, paths, hosts, smuggling", nonsense),
               ("250 that ask without a pause", greedy), ("300 that never read 1.6 MB", deaf),
               ("300 that trickle 1.6 MB, ten documents a second", trickling)]
    for name, attack in attacks:
        size, renewed = (1_600_000 if "1.6 MB" in name else 20_000), "ten documents" in name
        for source, whose in (("127.0.0.66", "another address"), ("127.0.0.1", "the same address")):
            attacked(f"{name}, {whose}", attack, source, size, renewed)


main()
