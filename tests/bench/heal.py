"""Measures how fast a fault is found and healed; `heal` runs it inside a booted container.

A lane is three services of the same shape (one process, HTTP, a unit without Restart=), each with a healer of its own:
Wellkeep at Monit's pace, Wellkeep as it comes, and Monit. In a round each of the three has the same fault at its own
random moment, and the next begins when all are well. Both moments are seen from outside, by looking every 10 ms:

found       the healer says that the service is down: status.json, or Monit's log (it has whole seconds only, so the
            moment counts at which the line is there).
well again  the first good answer of a new process.

Faults: kill (SIGKILL to the process), hang (SIGSTOP to it; the kernel goes on accepting connections), 500 (it answers
each request so).
"""

import os
import sys

if sys.argv[1:2] == ["serve"]:
    # The service. Only what it needs is imported: its own start is part of every recovery.
    import signal
    import socket

    port, pidfile = int(sys.argv[2]), sys.argv[3]
    status = [b"200 OK"]
    signal.signal(signal.SIGUSR1, lambda *_: status.__setitem__(0, b"500 Internal Server Error"))
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    with open(pidfile + ".new", "w") as file:
        file.write(f"{os.getpid()}\n")
    os.rename(pidfile + ".new", pidfile)
    while True:
        connection, _ = listener.accept()
        try:
            connection.settimeout(1)
            connection.recv(65536)
            connection.sendall(b"HTTP/1.0 %s\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok" % status[0])
        except OSError:
            pass
        finally:
            connection.close()

import json
import random
import signal
import socket
import statistics
import subprocess
import threading
import time

LOOK_EVERY = 0.01
# A fault that nobody heals within this time ends the run.
LIMIT = 120

FAULTS = {"kill -9": signal.SIGKILL, "hang": signal.SIGSTOP, "500": signal.SIGUSR1}

SERVICE = """[Service]
ExecStart=/usr/bin/python3 -SE /opt/heal.py serve {port} /run/{name}.pid
"""

# As the shipped unit runs it: without rights, asking polkit. The sandbox makes no difference here.
MONITOR = """[Service]
Type=notify
User=wellkeep
StateDirectory={healer}
SupplementaryGroups=systemd-journal
ExecStart=/usr/bin/wellkeep monitor --config /etc/wellkeep/{healer}.yml --status-file /var/lib/{healer}/status.json
"""

ENTRY = "  - {{key: {name}, url: 'http://127.0.0.1:{port}/health', systemd: {name}.service, heal: restart{more}}}\n"

# Monit's best: the shortest cycle, a pidfile (no search through /proc), one `restart program`, so that it neither polls
# for the end nor pauses before the start, and the shortest timeout that it knows. It tests no connection until the
# timeout of the start is over, 30 s unless it is given: 2 s here.
MONITRC = """set daemon 1
set log /run/{healer}.log
set statefile /run/{healer}.state
set idfile /run/{healer}.id
set pidfile /run/{healer}.pid
check process {name} with pidfile /run/{name}.pid
  start program = "/usr/bin/systemctl start {name}.service" with timeout 2 seconds
  stop program = "/usr/bin/systemctl stop {name}.service"
  restart program = "/usr/bin/systemctl restart {name}.service" with timeout 2 seconds
  if failed host 127.0.0.1 port {port} protocol http request "/health" with timeout 1 seconds for 2 cycles then restart
"""

MONITD = """[Service]
ExecStart=/usr/bin/monit -I -c /etc/{healer}.monitrc
"""


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""


def wait_for(what, look):
    """The moment at which `look` is true."""
    end = time.monotonic() + LIMIT
    while not look():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {LIMIT} s")
        time.sleep(LOOK_EVERY)
    return time.monotonic()


class Service:
    """A service with its healer."""

    def __init__(self, lane, place):
        self.port = 8000 + 10 * lane + place
        self.name = f"{type(self).__name__.lower()}{lane}"
        self.healer = f"heals-{self.name}"

    def install(self):
        write(f"/etc/systemd/system/{self.name}.service", SERVICE.format(**vars(self)))

    def pid(self):
        return int(read(f"/run/{self.name}.pid") or 0)

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                return connection.recv(64).startswith(b"HTTP/1.0 200")
        except OSError:
            return False

    def round(self, fault):
        """One fault: seconds until it was found and until it was healed."""
        before = self.settle()
        time.sleep(random.uniform(0, self.cycle))
        marked = self.mark()
        began = time.monotonic()
        os.kill(before, FAULTS[fault])
        detected = wait_for(f"{self.name}, {fault}, found", lambda: self.is_found(marked)) - began
        # Only the new process is asked: requests to the old one would pile up before the healer's own.
        wait_for(f"{self.name}, {fault}, started anew", lambda: self.pid() not in (0, before))
        recovered = wait_for(f"{self.name}, {fault}, healed", self.answers) - began
        return detected, recovered


class Wellkeep(Service):
    """Wellkeep at Monit's pace."""

    label = "Wellkeep, every second"
    cycle = 1.0
    more = ", interval: 1s, retry_interval: 1s, timeout: 1s, failure_threshold: 2"

    def install(self):
        super().install()
        self.entry = ENTRY.format(name=self.name, port=self.port, more=self.more)
        write(f"/etc/wellkeep/{self.healer}.yml", "services:\n" + self.entry)
        write(f"/etc/systemd/system/{self.healer}.service", MONITOR.format(**vars(self)))

    known = (None, None)

    def state(self):
        try:
            file = os.stat(f"/var/lib/{self.healer}/status.json")
        except FileNotFoundError:
            return None, None, False
        if self.known[0] != (file.st_ino, file.st_mtime_ns):
            service = json.loads(read(f"/var/lib/{self.healer}/status.json"))["services"][self.name]
            state = service["state"], service["heal"]["phase"], "incident" in service
            self.known = (file.st_ino, file.st_mtime_ns), state
        return self.known[1]

    def settle(self):
        """Begins without memory: backoff and budgets, which are for services that fail thirty times, are not measured."""
        wait_for(f"{self.name} settles", lambda: self.state() in ((None, None, False), ("up", "idle", False)))
        run("systemctl", "stop", self.healer)
        for name in ("state.json", "status.json"):
            if os.path.exists(f"/var/lib/{self.healer}/{name}"):
                os.remove(f"/var/lib/{self.healer}/{name}")
        run("systemctl", "start", self.healer)
        wait_for(f"{self.name} is up", lambda: self.state() == ("up", "idle", False))
        return self.pid()

    def mark(self):
        return None

    def is_found(self, _):
        return self.state()[0] == "down"


class Defaults(Wellkeep):
    """Wellkeep as it comes."""

    label = "Wellkeep, defaults"
    cycle = 10.0
    more = ""


class Monit(Service):
    """Monit at its fastest."""

    label = "Monit, every second"
    cycle = 1.0

    def install(self):
        super().install()
        write(f"/etc/{self.healer}.monitrc", MONITRC.format(**vars(self)), 0o600)
        write(f"/etc/systemd/system/{self.healer}.service", MONITD.format(**vars(self)))

    def log(self):
        return read(f"/run/{self.healer}.log")

    def settle(self):
        if not self.log():
            run("systemctl", "start", self.healer)
            wait_for(f"{self.healer} begins", self.log)
        # A few cycles, in which it finds everything well again.
        time.sleep(4)
        return self.pid()

    def mark(self):
        return len(self.log())

    def is_found(self, marked):
        news = self.log()[marked:]
        return "trying to restart" in news or "trying to start" in news


def percentile_95(values):
    return sorted(values)[max(0, -(-95 * len(values) // 100) - 1)]


def main(rounds, lanes):
    run("systemd-sysusers")
    # How fast it is when it acts is measured here: on a machine whose CPU is overloaded it waits (rule 12), and this
    # benchmark may be run beside other work. So it cannot see how the CPU is doing.
    run("mount", "--bind", "/mnt", "/proc/pressure")
    services = [[kind(lane, place) for place, kind in enumerate((Wellkeep, Defaults, Monit))] for lane in range(lanes)]
    for service in sum(services, []):
        service.install()
    entries = [service.entry for service in sum(services, []) if isinstance(service, Wellkeep)]
    write("/etc/wellkeep/monitor.yml", "services:\n" + "".join(entries))
    run("wellkeep", "privileges", "--write")
    run("systemctl", "daemon-reload")
    for service in sum(services, []):
        run("systemctl", "start", service.name)
        wait_for(f"{service.name} answers", service.answers)

    figures = {(kind.label, fault): [] for fault in FAULTS for kind in (Wellkeep, Defaults, Monit)}
    errors = []

    def one(service, fault):
        try:
            figures[service.label, fault].append(service.round(fault))
        except Exception as error:
            errors.append(f"{service.name}, {fault}: {error!r}")

    def lane(services, rounds):
        for _ in range(rounds):
            for fault in FAULTS:
                threads = [threading.Thread(target=one, args=(service, fault)) for service in services]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                if errors:
                    return

    threads = [threading.Thread(target=lane, args=(group, -(-rounds // lanes))) for group in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        sys.exit("\n".join(errors))

    print("\n| fault | | found, median | p95 | well again, median | p95 | median beside Monit |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for fault in FAULTS:
        monit = statistics.median(recovered for _, recovered in figures[Monit.label, fault])
        for kind in (Wellkeep, Defaults, Monit):
            detected, recovered = zip(*figures[kind.label, fault])
            median = statistics.median(recovered)
            cells = [statistics.median(detected), percentile_95(detected), median, percentile_95(recovered)]
            row = " | ".join(f"{cell:.2f} s" for cell in cells)
            print(f"| {fault} ({len(detected)}) | {kind.label} | {row} | {median / monit:.2f} |")


main(int(sys.argv[1]), int(sys.argv[2]))
