"""What the server does not put up with: requests that can be read in two ways, clients that keep it
waiting, too many connections of one address; and keys that change."""
import os
import re
import signal
import socket
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from server import Server, run

BODY = b'{"content":"1"}'
POST = b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
LENGTH = b"Content-Length: 15\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
END = b"\r\n0\r\n\r\n"
CHUNK = b"\r\nf\r\n" + BODY + END
NEXT = b"GET /models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def answers(s, data):
    """The statuses of what comes back."""
    return [int(n) for n in re.findall(rb"HTTP/1\.1 (\d+) ", s.raw(data))]


def test_requests_that_can_be_read_in_two_ways(minke):
    """Each is refused, and what follows on the connection is not taken for a request."""
    with Server(minke) as s:
        assert answers(s, POST + LENGTH + b"\r\n" + BODY + NEXT) == [200, 200]
        assert answers(s, POST + CHUNKED + CHUNK + NEXT) == [200, 200]
        for data, want in (
                (POST + CHUNKED + LENGTH + CHUNK, 400),
                (POST + LENGTH + CHUNKED + CHUNK, 400),
                (GET + LENGTH + CHUNKED + CHUNK, 400),
                (POST + CHUNKED + CHUNKED + CHUNK, 400),
                (POST + LENGTH + LENGTH + b"\r\n" + BODY, 400),
                (POST + LENGTH + b"Content-Length: 3\r\n\r\n" + BODY, 400),
                (POST + b"Content-Length : 15\r\n\r\n" + BODY, 400),
                (POST + b"Transfer-Encoding: gzip\r\n\r\n" + BODY, 501),
                (POST + b"Transfer-Encoding: gzip, chunked\r\n" + CHUNK, 501),
                (POST + b"Transfer-Encoding: xchunked\r\n" + CHUNK, 501),
                (GET + b"Host: evil.example\r\n\r\n", 400),
                (GET + b"X y: a\r\n\r\n", 400),
                (b"GET /health HTTP/1.1\r\n\r\n", 400),
                (POST + b"Content-Length: 15, 15\r\n\r\n" + BODY, 400),
                (POST + b"Content-Length: +15\r\n\r\n" + BODY, 400),
                (POST + b"Content-Length: 0xf\r\n\r\n" + BODY, 400),
                (POST + b"Content-Length: 18446744073709551631\r\n\r\n" + BODY, 413),
                (POST + CHUNKED + b"\r\nzz\r\n" + BODY + END, 400),
                (POST + CHUNKED + b"\r\n-f\r\n" + BODY + END, 400),
                (POST + CHUNKED + b"\r\n0xf\r\n" + BODY + END, 400),
                (POST + CHUNKED + b"\r\n3\r\n" + BODY + END, 400),
                (POST + CHUNKED + b"\r\nf\r\n" + BODY + b"xx0\r\n\r\n", 400),
                (POST + CHUNKED + b"\r\nfffffffffffffffff\r\n" + BODY + END, 413),
                (b"GET /health HTTP/2.0\r\nHost: localhost\r\n\r\n", 505)):
            got = answers(s, data + NEXT)  # libmicrohttpd 0.9.75 sends heads of its own twice
            assert set(got) == {want}, (data, want, got)
        s.get("/health")


def test_whole_addresses_as_targets(minke):
    with Server(minke) as s:
        for target, want in ((b"http://localhost/health", 200), (b"HTTPS://localhost:1/v1/models", 200),
                             (b"http://localhost", 200), (b"http://", 200), (b"http:///x", 404),
                             (b"http:/health", 404), (b"ftp://localhost/health", 404)):
            assert answers(s, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n"
                           b"Connection: close\r\n\r\n") == [want], target
        assert answers(s, b"GET http://localhost/health HTTP/1.1\r\nHost: evil.example\r\n"
                       b"Connection: close\r\n\r\n") == [403]


def seconds_until_closed(port, head, drip):
    """Sends head, and then a byte from time to time, until the other side closes."""
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=0.2) as c:
        c.sendall(head)
        while time.monotonic() < start + 20:
            try:
                c.sendall(drip)
                if not c.recv(1000):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    return time.monotonic() - start


def test_requests_that_do_not_arrive(minke):
    """A client that is silent, or sends a byte now and then, is given up."""
    with Server(minke, "--client-timeout", "1") as s:
        cases = ((b"", b"", 0.9, 4), (b"GET /heal", b"", 0.9, 4), (GET + b"X: ", b"a", 0.9, 4),
                 (POST + b"Content-Length: 1000\r\n\r\n{", b"", 0.9, 4),
                 (POST + b"Content-Length: 1000\r\n\r\n{", b" ", 3.9, 8),
                 (POST + CHUNKED + b"\r\n", b"1\r\n \r\n", 3.9, 8),
                 (GET + b"\r\n", b"", 0.9, 4), (GET + b"\r\n" + GET + b"X: ", b"a", 1.9, 6))
        with ThreadPoolExecutor(len(cases)) as pool:
            took = list(pool.map(lambda c: seconds_until_closed(s.port, c[0], c[1]), cases))
        for (head, drip, least, most), seconds in zip(cases, took):
            assert least < seconds < most, (head, drip, seconds)
        c = s.connect()  # one that does what it should may stay
        for _ in range(6):
            c.request("GET", "/health")
            assert c.getresponse().read()
            time.sleep(0.5)
        c.close()


def is_served(c):
    try:
        c.sendall(GET + b"\r\n")
        return c.recv(100).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def test_connections_of_one_address(minke):
    """Are limited where others than this machine can reach the server."""
    with Server(minke, "--host", "0.0.0.0", "--insecure-no-auth", "--max-per-address", "3") as s:
        port = int(s.process.stdout.readline().rsplit(":", 1)[1])
        all_in = [socket.create_connection(("127.0.0.1", s.port)) for _ in range(10)]
        some_in = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(4)]
        assert all(is_served(c) for c in all_in + some_in[:3]) and not is_served(some_in[3])
        some_in[0].close()
        end = time.monotonic() + 5
        while not is_served(c := socket.create_connection(("127.0.0.1", port), timeout=5)):
            assert time.monotonic() < end
            c.close()
        c.close()
        for c in all_in + some_in:
            c.close()


def test_keys_are_read_again(minke):
    """At SIGHUP; a file that is wrong changes nothing."""
    path = os.path.join(tempfile.mkdtemp(), "keys")

    def write(text, mode=0o600):
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(path, mode)

    write("old\n")
    with Server(minke, "--api-key-file", path, env={"MINKE_API_KEY": "always"}) as s:
        def now_valid(times, keys):
            s.process.send_signal(signal.SIGHUP)
            end = time.monotonic() + 5
            while s.logged().count("minke: ") < times + 1 and time.monotonic() < end:
                time.sleep(0.01)
            for key in ("old", "new", "always"):
                s.get("/models", 200 if key in keys else 401, {"x-api-key": key})

        warnings = s.logged().count("minke: ")
        now_valid(warnings, ("old", "always"))
        write("new\n")
        now_valid(warnings + 1, ("new", "always"))
        write("old\n", 0o644)
        now_valid(warnings + 2, ("new", "always"))
        os.remove(path)
        now_valid(warnings + 3, ("new", "always"))
        assert s.logged().count("stay as they were") == 2, s.logged()
        write("# none\nold\n")
        now_valid(warnings + 4, ("old", "always"))
    s = Server(minke, env={"MINKE_API_KEY": "only"})
    s.process.send_signal(signal.SIGHUP)  # nothing to read: as ever
    assert s.process.wait(5) == -signal.SIGHUP


if __name__ == "__main__":
    run([f for name, f in list(globals().items()) if name.startswith("test_")],
        os.path.realpath(sys.argv[1]))
