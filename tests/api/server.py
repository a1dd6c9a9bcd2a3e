"""A minke server for a test, and asking it."""
import fcntl
import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time

JSON = {"Content-Type": "application/json"}
MORE = os.environ.get("SERVE_OPTIONS", "").split()  # sanitizers need --no-sandbox


class Server:
    """`minke serve` on a free port, with more options if any."""

    def __init__(self, minke, *options, env=None):
        self.log = tempfile.TemporaryFile("w+")
        home = tempfile.mkdtemp()
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("MINKE", "XDG"))}
        self.process = subprocess.Popen(
            [minke, "serve", "--port", "0", "--host", "127.0.0.1", *MORE, *options], text=True,
            stdout=subprocess.PIPE, stderr=self.log, env={**clean, "HOME": home, **(env or {})})
        line = self.process.stdout.readline()
        match = re.match(r"(https?)://127\.0\.0\.1:(\d+)", line)
        if not match:
            self.log.seek(0)
            raise SystemExit(f"no server: {line!r} {self.log.read()}")
        self.port = int(match[2])

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        status = self.stop()  # sanitizers that found something say so here
        assert kind or status == 0, f"the server ended with {status}: {self.logged()[-3000:]}"

    def stop(self):
        """Its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def logged(self):
        self.log.seek(0)
        return self.log.read()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def request(self, method, path, body=None, headers=None):
        """Status, headers and body of one request."""
        c = self.connect()
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body)
        c.request(method, path, data, {**(JSON if body is not None else {}), **(headers or {})})
        r = c.getresponse()
        text = r.read()
        c.close()
        return r.status, r.headers, text

    def post(self, path, body, want=200, headers=None):
        status, _, text = self.request("POST", path, body, headers)
        assert status == want, (path, body, status, text)
        return json.loads(text)

    def get(self, path, want=200, headers=None):
        status, _, text = self.request("GET", path, None, headers)
        assert status == want, (path, status, text)
        return text

    def stream(self, path, body, headers=None):
        """The events of a stream as they come; the last is "[DONE]"."""
        c = self.connect()
        c.request("POST", path, json.dumps({**body, "stream": True}), {**JSON, **(headers or {})})
        r = c.getresponse()
        assert r.status == 200, (body, r.status, r.read())
        assert r.headers["Content-Type"] == "text/event-stream"
        try:
            for line in r:
                if line.startswith(b"data: "):
                    data = line[6:].decode().strip()
                    yield data if data == "[DONE]" else json.loads(data)
        finally:
            c.close()

    def metric(self, name):
        for line in self.get("/metrics").decode().splitlines():
            if line.startswith(f"minke_{name} "):
                return float(line.split()[-1])
        raise AssertionError(f"no metric {name}")

    def wait_for(self, name, value, seconds=10):
        """Until a metric has the value."""
        end = time.monotonic() + seconds
        while self.metric(name) != value:
            assert time.monotonic() < end, (name, self.metric(name), value)
            time.sleep(0.01)

    def raw(self, data, seconds=5):
        """What comes back for these bytes, until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as s:
            s.sendall(data)
            got = b""
            try:
                while chunk := s.recv(65536):
                    got += chunk
            except (TimeoutError, ConnectionResetError):
                pass
            return got


def wait_until_full(clients):
    """What has come to these sockets, and is not read, does not grow any more."""
    have, since = [], time.monotonic()
    while not have or 0 in have or time.monotonic() < since + 0.5:
        now = [struct.unpack("i", fcntl.ioctl(c, termios.FIONREAD, b"1234"))[0] for c in clients]
        if now != have:
            have, since = now, time.monotonic()
        time.sleep(0.01)


def run(tests, minke):
    """Calls each test, prints which failed, and ends the program with 0 or 1."""
    failed = 0
    for test in tests:
        try:
            test(minke)
        except Exception as e:  # all of them, so that one failure does not hide others
            failed += 1
            place = e.__traceback__
            while place.tb_next:
                place = place.tb_next
            print(f"FAIL: {test.__name__}, line {place.tb_lineno}: {type(e).__name__}: {e}")
    sys.exit(failed > 0)
