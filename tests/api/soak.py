#!/usr/bin/env python3
"""Many clients that behave badly, against a server that is killed now and then: what stays right?

    soak.py MINKE [--seconds N] [--clients N] [--seed N]

Clients ask in all dialects and leave at any moment, read slowly or never, send rubbish, ask more than
the queue holds.  Checked: whatever nobody disturbed is whole, well-formed and the same text each time;
refusals have the status they should; in quiet moments nothing runs or waits and no file is left open;
memory does not grow; SIGTERM ends the server with 0; stderr has nothing but the log.  Ends with 1 if
anything is wrong.  What clients choose comes from the seed; what meets what does not.
"""
import argparse
import asyncio
import collections
import os
import random
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from http1 import request_bytes
from server import MORE, Server
from soak_asks import asks
from soak_clients import KEYS, LIMIT_S, Client, Connection

KILLS = (0.06, 0.14, 0.22)  # when, as shares of the time; memory is judged in what is left
# Growth that is not taken for a leak; a young server's sessions and caches still fill.
GROWTH_MB, GROWTH, YOUNG_MB, YOUNG_MB_S = 4, 0.03, 40, 3000
LINGER_S = 31  # a request of which half came: the server waits so long for the rest
LOG = re.compile(r"[0-9a-f]{32} [A-Z]+ \S+ \d{1,3} \d+\.\d{3}s prompt=\d+ cached=\d+ answer=\d+( client gone)?"
                 r"|minke \d.*|minke: warning: .*")


class Soak:
    def __init__(self, minke, o):
        self.minke, self.seconds, self.n_clients, self.seed = minke, o.seconds, o.clients, o.seed
        self.pause_s = 0.6
        self.asks = list(asks(random.Random(self.seed), 4))
        self.answers = {}  # of each request, as it was answered first
        self.counts = collections.Counter()
        self.errors = []
        self.left = []  # when clients left by merely closing
        self.memory = []  # (seconds, life, MB)
        self.life, self.is_down, self.port = 0, True, 0
        self.gate = asyncio.Event()
        self.start_s = time.monotonic()
        self.options = self.server_options()

    def server_options(self):
        folder = tempfile.mkdtemp()
        keys = os.path.join(folder, "keys")
        with open(os.open(keys, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
            f.write("\n".join(KEYS))
        places = max(2, self.n_clients // 8)
        options = ["--api-key-file", keys, "-c", "2000", "--parallel", str(places),
                   "--queue", str(2 * places), "--drain", "5"]
        help_text = subprocess.run([self.minke, "help", "serve"], capture_output=True, text=True,
                                   check=True).stdout
        cache = os.path.join(folder, "cache")  # it outlives the kills, and is small enough to overflow
        for name, value in ("--cache-dir", cache), ("--cache-size", "32M"), ("--cache-ram", "8M"):
            options += [name, value] if name in help_text else []
        return options

    # ---- what was seen -----------------------------------------------------------------

    def at(self):
        return time.monotonic() - self.start_s

    def count(self, what):
        self.counts[what] += 1

    def error(self, text):
        self.errors.append(text)
        if len(self.errors) <= 20:
            print(f"ERROR at {self.at():.1f} s, seed {self.seed}, life {self.life}: {text}", flush=True)

    def compare(self, ask, answer):
        first = self.answers.setdefault(ask.id, answer)
        self.count(f"answers compared, {'long' if ask.is_long else 'short'} prompts")
        if answer != first and ask.is_long:
            self.count("answers to long prompts that differ in rounding")
        else:
            assert answer == first, f"it was answered {first} before, now {answer}"

    # ---- the server --------------------------------------------------------------------

    async def in_thread(self, f, *args):
        return await asyncio.get_running_loop().run_in_executor(None, f, *args)

    async def start(self):
        self.server = await self.in_thread(lambda: Server(self.minke, "--port", str(self.port),
                                                          *self.options))
        self.port = self.server.port
        self.life += 1
        self.is_down = False
        self.n_files = self.open_files()
        self.gate.set()

    async def kill(self):
        self.is_down = True
        self.gate.clear()
        self.server.process.kill()
        await self.in_thread(self.server.process.wait)
        self.check_log()
        self.count("kills")
        await self.start()

    def check_log(self):
        self.server.log.seek(0)
        for line in self.server.log:
            if not LOG.fullmatch(line.rstrip("\n")):
                self.error(f"stderr says {line!r}")
        self.server.log.close()

    def open_files(self):
        return len(os.listdir(f"/proc/{self.server.process.pid}/fd"))

    def note_memory(self):
        with open(f"/proc/{self.server.process.pid}/statm", encoding="ascii") as f:
            pages = int(f.read().split()[1])
        self.memory.append((self.at(), self.life, pages * resource.getpagesize() / 1e6))

    async def metrics(self):
        c = await Connection(self.life).open(self.port)
        await c.send(request_bytes("GET", "/metrics", None, KEYS[0]))
        _, _, body = await c.answer()
        c.close()
        return dict(line.rsplit(" ", 1) for line in body.decode().splitlines() if line[0] != "#")

    async def until(self, what, is_so):
        """Waits for it; an error if it never comes."""
        end = time.monotonic() + LIMIT_S
        while (seen := await is_so()) is not True:
            if time.monotonic() > end:
                return self.error(f"{what}: {seen}")
            await asyncio.sleep(0.02)

    async def be_quiet(self, is_last=False):
        """All clients stop; nothing of what they did may be left."""
        self.gate.clear()

        async def all_stopped():
            return [c.doing for c in self.clients if c.doing or c.kept] or True

        async def nothing_runs():
            m = await self.metrics()
            n = [int(m[f"minke_num_requests_{k}"]) for k in ("running", "waiting")]
            return n == [0, 0] or f"{n} run and wait in a quiet moment"

        async def files_are_closed():
            self.left = [t for t in self.left if self.at() < t + LINGER_S]
            n, more = self.open_files(), 0 if is_last else len(self.left)
            return n <= self.n_files + more or (
                f"{n} files are open, {self.n_files} were at the start, {more} may linger")
        await self.until("clients do not stop", all_stopped)
        await self.until("the metrics", nothing_runs)
        await self.until("a leak", files_are_closed)
        self.count("quiet moments")
        self.gate.set()

    # ---- the whole ---------------------------------------------------------------------

    async def learn(self):
        """What each request is answered when nothing else runs."""
        c = await Connection(self.life).open(self.port)
        for ask in self.asks:
            await c.send(ask.bytes(KEYS[0], 0, False))
            status, _, body = await c.answer()
            assert status == 200, (ask.id, status, body)
            self.compare(ask, ask.read(body, False))
        c.close()

    async def watch(self):
        """Kills, quiet moments, samples and lines of progress, until the time is over."""
        kills = [self.seconds * k for k in KILLS]
        tick = min(1, self.seconds / 200)
        quiet_s = line_s = self.at()
        while self.at() < self.seconds:
            await asyncio.sleep(tick)
            self.note_memory()
            if kills and self.at() > kills[0]:
                kills.pop(0)
                await self.kill()
            elif self.at() > quiet_s + min(30, self.seconds / 8):
                await self.be_quiet()
                quiet_s = self.at()
            if self.at() > line_s + 10:
                line_s = self.at()
                print(f"{line_s:.0f} s: {self.counts['status 200']} answers, "
                      f"{self.counts['status 429']} refused, {self.memory[-1][2]:.1f} MB, "
                      f"{len(self.errors)} errors", flush=True)

    async def stop(self):
        """While clients still ask."""
        self.is_down = True
        self.server.process.send_signal(signal.SIGTERM)
        status = await self.in_thread(self.server.process.wait, 30)
        if status != 0:
            self.error(f"it ended with {status} on SIGTERM")
        self.check_log()

    def check_memory(self):
        """The last life's second quarter against its last: it must not grow."""
        curve = [mb for _, life, mb in self.memory if life == self.life]
        n = len(curve) // 4
        if n < 2:
            return self.error(f"{len(curve)} samples of memory are too few")
        early, late = statistics.median(curve[n:2 * n]), statistics.median(curve[-n:])
        print("memory, MB:", " ".join(f"{curve[i * (len(curve) - 1) // 15]:.1f}" for i in range(16)))
        print(f"second quarter {early:.1f}, last {late:.1f}")
        if MORE:
            print("skip the soak's memory: with SERVE_OPTIONS it may be a sanitizer's own")
        elif late > early * (1 + GROWTH) + GROWTH_MB + min(YOUNG_MB, YOUNG_MB_S / self.seconds):
            self.error(f"memory grew from {early:.1f} to {late:.1f} MB")

    async def run(self):
        print(f"seed {self.seed}, {self.n_clients} clients, {self.seconds} s: minke serve "
              f"{' '.join(self.options)}", flush=True)
        await self.start()
        await self.learn()
        self.clients = [Client(self, i) for i in range(self.n_clients)]
        tasks = [asyncio.create_task(c.run()) for c in self.clients]
        await self.watch()
        await self.be_quiet(is_last=self.seconds > LIMIT_S)
        await asyncio.sleep(0.2)
        await self.stop()
        for t in tasks:
            t.cancel()
        self.check_memory()
        for what in sorted(self.counts):
            print(f"{self.counts[what]:8} {what}")
        missing = [a.__name__ for a in self.clients[0].acts if not self.counts[f"act {a.__name__}"]]
        if missing or self.counts["kills"] != len(KILLS):
            self.error(f"too short a run: no {', '.join(missing) or 'kills'}")
        print(f"{len(self.errors)} errors, {self.at():.0f} s, seed {self.seed}")
        return self.errors


def main():
    a = argparse.ArgumentParser()
    a.add_argument("minke", type=os.path.realpath)
    a.add_argument("--seconds", type=float, default=1800)
    a.add_argument("--clients", type=int, default=64)
    a.add_argument("--seed", type=int, default=random.randrange(10 ** 6))
    o = a.parse_args()

    async def run():
        soak = Soak(o.minke, o)
        try:
            return await soak.run()
        finally:
            soak.server.process.kill()
    sys.exit(1 if asyncio.run(run()) else 0)


if __name__ == "__main__":
    main()
