"""`polydiff serve` under load: many clients at once, most of them with cheap requests, some that sample.

    python benchmarks/serving.py runs/image-001

It starts a server of the run, sends requests of 100 clients, and prints the share of each status, how long health
checks took (asked by a process of their own, so that the clients' work does not count), and the memory of the server
and its worker before and after. It exits with 1 if an answer was an error of the server (5xx) or none came.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

SAMPLE = {"kind": "sample", "n": 1, "sampling": {"steps": 2}}
WRONG = [b"{", b'{"kind": "none"}', b'{"kind": "sample", "n": 1000000}', b'{"kind": "vary", "source": {}}']
PLAIN = ["/api/health"] * 50 + ["/api/models"] * 15 + ["/"] * 10 + ["/static/style.css"] * 5 + ["/nowhere"] * 2
EVERY = 0.05
"""Seconds between two health checks of the probe."""
Answer = tuple[int, bytes]


class Client:
    """One client: a connection that stays open, and the job it has sent last.

    Arguments:
        address: Host and port.
        seed: Of what it asks for.
    """

    def __init__(self, address: str, seed: int) -> None:
        self.connection = http.client.HTTPConnection(address, timeout=60)
        self.chance, self.job = random.Random(seed), ""

    def ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """Send a request and return status and body; status 0: no answer."""
        headers = {"content-type": "application/json"} if body is not None else {}
        for _ in range(2):  # the server may have closed a connection that was idle
            try:
                self.connection.request(method, path, body, headers)
                answer = self.connection.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, OSError):
                self.connection.close()
        return 0, b""

    def once(self) -> int:
        """Send one request of those that clients send, and return its status."""
        lot = self.chance.random()
        if lot < 0.05:
            status, body = self.ask("POST", "/api/jobs", json.dumps(SAMPLE).encode())
            if status == 202:
                self.job = json.loads(body)["id"]
            return status
        if lot < 0.1:
            return self.ask("POST", "/api/jobs", self.chance.choice(WRONG))[0]
        if lot < 0.2 and self.job:
            return self.ask("GET", f"/api/jobs/{self.job}")[0]
        return self.ask("GET", self.chance.choice(PLAIN))[0]


def probe(address: str) -> None:
    """Print the seconds of a health check, again and again, until stdin is closed."""
    client, ended = Client(address, 0), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.wait(EVERY):
        began = time.perf_counter()
        status, _ = client.ask("GET", "/api/health")
        print(time.perf_counter() - began if status == 200 else "nan", flush=True)


def load(address: str, clients: int, requests: int) -> Counter[int]:
    """Send requests of many clients at once and return how often each status came."""
    found: list[Counter[int]] = [Counter() for _ in range(clients)]
    share = -(-requests // clients)

    def work(number: int) -> Callable[[], None]:
        client = Client(address, number)

        def run() -> None:
            for _ in range(share):
                found[number][client.once()] += 1

        return run

    threads = [threading.Thread(target=work(i)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(found, Counter())


def memory(pid: int) -> float:
    """Return the memory of a process in MB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def processor(pid: int) -> float:
    """Return the seconds that a process has computed."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def percentile(values: list[float], share: float) -> float:
    """Return the value below which a share of sorted values lies."""
    return values[min(int(share * len(values)), len(values) - 1)]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.probe:
        probe(args.probe)
        return 0
    command = [sys.executable, "-m", "polydiff", "serve", args.run, "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    address = ""
    while not address and (line := server.stderr.readline()):
        address = urlsplit(found[0]).netloc if (found := re.search(r"http://\S+?(?=\.\s)", line)) else ""
        print(line, end="", file=sys.stderr)
    threading.Thread(target=lambda: [print(line, end="", file=sys.stderr) for line in server.stderr or ()]).start()
    if not address:
        return 1
    try:
        return measure(server.pid, address, args.clients, args.requests)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def measure(pid: int, address: str, clients: int, requests: int) -> int:
    """Put load on a server, print what it does, and return the exit code."""
    processes = {"server": pid, "worker": children(pid)[0]}
    load(address, 10, 200)  # so that everything is loaded that loads at first use
    used = processor(pid)
    before = {name: memory(number) for name, number in processes.items()}
    asks = [sys.executable, __file__, "--probe", address]
    with subprocess.Popen(asks, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as checks:
        began = time.perf_counter()
        statuses = load(address, clients, requests)
        seconds = time.perf_counter() - began
        printed, _ = checks.communicate()
    times = sorted(float(word) for word in printed.split())
    total = sum(statuses.values())
    print(f"{total:,} requests of {clients} clients in {seconds:.1f} s, {total / seconds:,.0f} a second")
    for status, count in sorted(statuses.items()):
        print(f"  {status or 'no answer'}: {count:,} ({count / total:.1%})")
    shares = ", ".join(f"{share:.0%} {1000 * percentile(times, share):.0f} ms" for share in (0.5, 0.95, 0.99))
    print(f"health, {len(times)} checks: {shares}, slowest {1000 * times[-1]:.0f} ms")
    print(f"processor time of the server: {1000 * (processor(pid) - used) / total:.2f} ms a request")
    for name, number in processes.items():
        print(f"memory of the {name}: {before[name]:.0f} MB before, {memory(number):.0f} MB after")
    wrong = sum(count for status, count in statuses.items() if status >= 500 or status == 0)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
