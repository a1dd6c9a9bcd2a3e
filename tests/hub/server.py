"""A small hub for tests/cli/test_pull.sh: server.py FOLDER.

FOLDER/OWNER/NAME/FILE is served as a repository; OWNER says how it misbehaves (see `get_file`).
Writes the two ports it listens on to FOLDER/ports, and a line for each request to FOLDER/log.
"""
import hashlib
import http.server
import json
import os
import sys
import threading
import time

root = sys.argv[1]
counts = {}
lock = threading.Lock()
COMMIT = "0123456789abcdef0123456789abcdef01234567"
EVIL = ["../../evil.safetensors", "/evil.safetensors", ".evil.safetensors", "a\nb.safetensors"]


def count(key):
    with lock:
        counts[key] = counts.get(key, 0) + 1
        return counts[key]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        side = "hub" if self.server.server_port == ports[0] else "cdn"
        get = self.headers.get
        with lock, open(os.path.join(root, "log"), "a") as log:
            print(side, self.path, "range", get("Range", "-"), "if", get("If-Range", "-"), "token",
                  get("Authorization", "-"), file=log)
        parts = self.path.split("?")[0].strip("/").split("/")
        try:
            if parts[:2] == ["api", "models"]:
                self.get_list(parts[2], parts[3])
            elif len(parts) >= 5 and parts[2] == "resolve":
                self.get_file(parts[0], os.path.join(root, parts[0], parts[1], *parts[4:]))
            else:
                self.get_file(parts[0], os.path.join(root, *parts))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def get_list(self, owner, name):
        if owner == "gated" and self.headers.get("Authorization") != "Bearer good":
            return self.answer(403 if self.headers.get("Authorization") else 401)
        if owner == "busy":
            n = count(self.path)
            if n == 1:
                return self.answer(503)
            if n == 2:
                return self.answer(429, Retry_After="1")
        folder = os.path.join(root, owner, name)
        if not os.path.isdir(folder):
            return self.answer(404)
        siblings = [{"rfilename": ".gitattributes", "size": 5}]
        for base, _, files in sorted(os.walk(folder)):
            for file in sorted(files):
                path = os.path.join(base, file)
                data = open(path, "rb").read()
                item = {"rfilename": os.path.relpath(path, folder), "size": len(data)}
                if len(data) > 5000 and owner != "nohash":
                    sha256 = "0" * 64 if owner == "badhash" else hashlib.sha256(data).hexdigest()
                    item["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 100}
                siblings.append(item)
        if owner == "evil":
            siblings.append({"rfilename": EVIL[int(name)], "size": 3})
        body = {"id": owner + "/" + name, "sha": COMMIT, "siblings": siblings}
        self.answer(200, json.dumps(body).encode(), Content_Type="application/json")

    def get_file(self, owner, path):
        """cut, cutnr: cuts the first answers short.  noranges, cutnr: sends all there is.
        liar: a part that is not the one asked for.  nolength: no size, as plain as HTTP/1.0.
        page: HTML.  far: at the other port.  loop: nowhere.  slow: until FOLDER/fast is there."""
        if owner == "far" and self.server.server_port == ports[0]:
            there = "http://127.0.0.1:%d/%s" % (ports[1], os.path.relpath(path, root))
            return self.answer(302, Location=there)
        if owner == "loop":
            return self.answer(302, Location=self.path)
        if owner == "page":
            return self.answer(200, b"<html>log in</html>", Content_Type="text/html; charset=utf-8")
        if not os.path.isfile(path):
            return self.answer(404, b"no such file")
        data = open(path, "rb").read()
        etag = '"%s"' % hashlib.sha1(data).hexdigest()
        start, wanted = 0, self.headers.get("Range")
        if wanted and owner not in ("noranges", "cutnr"):
            if self.headers.get("If-Range", etag) == etag or owner == "stubborn":
                start = int(wanted.split("=")[1].split("-")[0])
        if start >= len(data) > 0:
            return self.answer(416, Content_Range="bytes */%d" % len(data))
        if owner == "liar" and start:
            start -= 1
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", "bytes %d-%d/%d" % (start, len(data) - 1, len(data)))
        self.send_header("ETag", etag)
        if owner == "nolength" and not start:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.send(owner, path, memoryview(data)[start:])

    def send(self, owner, path, data):
        if owner in ("cut", "cutnr", "liar") and count(path) < (3 if owner == "cutnr" else 4):
            self.wfile.write(data[:max(1, len(data) // 3)])
            self.wfile.flush()
            self.close_connection = True
            return
        for i in range(0, len(data), 65536):
            self.wfile.write(data[i:i + 65536])
            while owner == "slow" and i >= 65536 and not os.path.exists(os.path.join(root, "fast")):
                time.sleep(0.02)


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Clients that are killed are part of the test."""


servers = [Server(("127.0.0.1", 0), Handler) for _ in range(2)]
ports = [s.server_port for s in servers]
with open(os.path.join(root, "ports.new"), "w") as f:
    print(*ports, file=f)
os.rename(os.path.join(root, "ports.new"), os.path.join(root, "ports"))
threading.Thread(target=servers[1].serve_forever, daemon=True).start()
servers[0].serve_forever()
