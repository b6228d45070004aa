"""The figures of tests/bench/page: the viewer's own pages in a real Chromium, driven by chromedriver."""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

BINARY = os.path.abspath(sys.argv[1])
SIZES = [int(size) for size in " ".join(sys.argv[2:]).split()] or [10, 100, 1000]
ROUNDS = 7
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1440,900"]

# Set before the page's own script: when all cards are there and were painted.
WATCH = """
window.drawn = null;
const look = () => {
  if (document.querySelectorAll('.wk-card').length < %d) return requestAnimationFrame(look);
  requestAnimationFrame(() => setTimeout(() => { window.drawn = performance.now(); }));
};
requestAnimationFrame(look);
"""

# One look at the viewer, with everything that comes of it: asking, reading, drawing, and the next frame.
REFRESH = """
const done = arguments[0];
const { source } = document.querySelector('[data-wellkeep]').wellkeep;
const start = performance.now();
source.ask().then(() => requestAnimationFrame(() => setTimeout(() => done(performance.now() - start))));
"""

# Only what keeps the reader waiting: the page stands still so long when new figures come.
REDRAW = """
const { wellkeep: widget } = document.querySelector('[data-wellkeep]');
const start = performance.now();
widget.draw();
document.body.offsetHeight;
return performance.now() - start;
"""

SEARCH = """
const [words, done] = arguments;
const input = document.querySelector('.wk-filter input');
if (input === null) return done(null);
const start = performance.now();
input.value = words;
input.dispatchEvent(new Event('input', { bubbles: true }));
requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
"""

# From top to bottom in 60 steps, one each frame: how long the frames took.
SCROLL = """
const done = arguments[0];
const height = document.documentElement.scrollHeight - innerHeight;
const frames = [];
let [step, last] = [0, performance.now()];
const next = () => {
  const now = performance.now();
  frames.push(now - last);
  last = now;
  if (step === 60) return done(frames.slice(1));
  step += 1;
  scrollTo(0, (height * step) / 60);
  requestAnimationFrame(next);
};
requestAnimationFrame(next);
"""


def document(size, round_number):
    """A fresh document; from round to round every service has other figures, and a few have another state."""
    now = time.time()
    at = lambda seconds: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - seconds))
    window = {"ratio": 0.99961, "known": 0.9}
    services = {}
    for n in range(size):
        down = (n * 7 + round_number) % 97 == 0
        reason = {"reason": "HTTP answered 503 Service Unavailable"} if down else {}
        services[f"service_{n}"] = {
            "key": f"service_{n}", "name": f"Service {n}", "ok": not down, "state": "down" if down else "up", **reason,
            "since": at(300 if down else 9000), "consecutive_failures": 3 if down else 0, "last_checked": at(1),
            "next_check": at(-9), "group": f"Group {n % 12}",
            "http": {"ok": not down, "outcome": "fail" if down else "pass", "url": f"http://127.0.0.1:{5000 + n}/health",
                     "status_code": 503 if down else 200, "latency_ms": 40 + (n + round_number) % 50, **reason},
            "port": {"ok": True, "outcome": "pass", "host": "127.0.0.1", "port": 5000 + n, "latency_ms": 1},
            "systemd": {"ok": True, "outcome": "pass", "unit": f"service-{n}.service", "state": "active",
                        "sub_state": "running", "load_state": "loaded", "restarts": 0},
            "uptime": {name: window for name in ("1h", "24h", "7d", "30d", "90d")}}
    bad = sum(not service["ok"] for service in services.values())
    return json.dumps({
        "schema": 1, "mode": "production_monitoring", "overall": "down" if bad else "up", "ok_count": size - bad,
        "fail_count": bad, "total": size, "generated_at": at(0), "sequence": round_number + 1,
        "boot_id": open("/proc/sys/kernel/random/boot_id").read().strip(), "stale_after_s": 3600,
        "host": {"name": "bench"},
        "monitor": {"state": "running", "version": "0.1.0", "pid": 1, "started_at": at(9000), "config": {"loaded_at": at(9000)}},
        "services": services})


class Viewer:
    """The viewer as it ships, with a document that changes."""

    def __init__(self, size):
        self.folder, self.size, self.round = tempfile.mkdtemp(), size, 0
        self.change()
        self.process = subprocess.Popen(
            [BINARY, "serve", "--listen", "127.0.0.1:0", "--status-file", f"{self.folder}/status.json", "--config",
             f"{self.folder}/none.yml"], stderr=subprocess.PIPE, text=True, env={**os.environ, "JOURNAL_STREAM": ""})
        line = next(line for line in self.process.stderr if "serving on http" in line)
        self.url = re.search(r"http://\S+/", line)[0]

    def change(self):
        self.round += 1
        with open(f"{self.folder}/fresh", "w") as file:
            file.write(document(self.size, self.round))
        os.rename(f"{self.folder}/fresh", f"{self.folder}/status.json")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)


class Browser:
    """A Chromium with a profile of its own."""

    def __init__(self):
        self.profile = tempfile.mkdtemp()
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
        line = next((line for line in self.driver.stdout if "successfully on port" in line), None)
        if line is None:
            raise SystemExit("chromedriver does not start")
        port = re.search(r"port (\d+)", line)[1]
        self.session = f"http://127.0.0.1:{port}"
        options = {"args": [*FLAGS, f"--user-data-dir={self.profile}"]}
        opened = self.ask("/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})
        self.session += f"/session/{opened['sessionId']}"
        self.ask("/timeouts", {"script": 120000})

    def ask(self, path, body, method="POST"):
        data = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(self.session + path, data, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=180) as answer:
            return json.load(answer)["value"]

    def run(self, script, *arguments):
        return self.ask("/execute/sync", {"script": script, "args": arguments})

    def wait_for(self, script, *arguments):
        return self.ask("/execute/async", {"script": script, "args": arguments})

    def open(self, url, count):
        """Opens a page with an empty cache; milliseconds until all its cards were painted."""
        for name, parameters in (("Network.clearBrowserCache", {}), ("Page.enable", {})):
            self.devtools(name, parameters)
        watch = self.devtools("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH % count})
        self.ask("/url", {"url": url})
        deadline = time.time() + 120
        while (drawn := self.run("return window.drawn")) is None:
            if time.time() > deadline:
                raise SystemExit(f"{url} was never drawn: {self.run('return document.body.innerText')[:500]}")
            time.sleep(0.02)
        self.devtools("Page.removeScriptToEvaluateOnNewDocument", watch)
        return drawn

    def devtools(self, name, parameters):
        return self.ask("/goog/cdp/execute", {"cmd": name, "params": parameters})

    def stop(self):
        self.ask("", None, "DELETE")
        self.driver.terminate()
        self.driver.wait()
        shutil.rmtree(self.profile, ignore_errors=True)


def figures(browser, viewer, path):
    url, size = viewer.url + path, viewer.size
    first = statistics.median(browser.open(url, size) for _ in range(3))
    refreshes, redraws, searches = [], [], []
    for number in range(ROUNDS):
        viewer.change()
        refreshes.append(browser.wait_for(REFRESH))
        redraws.append(browser.run(REDRAW))
        searches.append(browser.wait_for(SEARCH, f"service {number}"))
        browser.wait_for(SEARCH, "")
    frames = sorted(browser.wait_for(SCROLL))
    nodes = browser.run("return document.querySelectorAll('*').length")
    browser.devtools("HeapProfiler.collectGarbage", {})
    heap = browser.run("return performance.memory.usedJSHeapSize / 1048576")
    kept = [one for one in searches if one is not None]
    search = f"{statistics.median(kept):.0f} ms" if kept else "–"
    return (f"| {size} | /{path} | {first:.0f} ms | {statistics.median(refreshes):.0f} ms | {statistics.median(redraws):.0f} ms | "
            f"{search} | {frames[len(frames) // 2]:.0f} ms, {frames[int(len(frames) * 0.95)]:.0f} ms | {nodes} | {heap:.0f} MiB |")


def main():
    browser = Browser()
    try:
        print("| services | page | first drawn | look, all in all | drawing alone | a letter of a search | frame while scrolling, "
              "p50 and p95 | elements | heap |")
        print("|---:|---|---:|---:|---:|---:|---:|---:|---:|")
        for size in SIZES:
            viewer = Viewer(size)
            try:
                for path in ("", "admin"):
                    print(figures(browser, viewer, path), flush=True)
            finally:
                viewer.stop()
    finally:
        browser.stop()


main()
