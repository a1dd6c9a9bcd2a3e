"""A client that goes away, or does not read, gives its place back: whatever API it asked, and
whatever was being done for it."""
import json
import os
import socket
import sys
import tempfile
import time

from server import MORE, Server, run, wait_until_full

SOON = 10.0 if MORE else 1.0  # seconds; a step takes long under sanitizers
ENDLESS = {"ignore_eos": True, "seed": 1}


def asks(text, n):
    """What each API is asked for an answer of n tokens."""
    talk = {**ENDLESS, "messages": [{"role": "user", "content": text}]}
    return {
        "/v1/chat/completions": {**talk, "max_tokens": n},
        "/v1/completions": {**ENDLESS, "prompt": text, "max_tokens": n},
        "/v1/messages": {**talk, "max_tokens": n},
        "/v1/responses": {**ENDLESS, "input": text, "max_output_tokens": n},
    }


def each(text="1", n=90000):
    for path, body in asks(text, n).items():
        for streams in (True, False):
            yield path, {**body, "stream": streams}


def send(to, path, body):
    """A connection that has asked; to: a port, or the path of a socket."""
    data = json.dumps(body).encode()
    c = socket.socket(socket.AF_UNIX if isinstance(to, str) else socket.AF_INET)
    c.settimeout(20)
    c.connect(to if isinstance(to, str) else ("127.0.0.1", to))
    c.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
              f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return c


def canceled(s):
    return s.metric('request_success_total{finished_reason="cancel"}')


def is_free(s, what, seconds=SOON):
    """All places and the queue are empty again, in time."""
    try:
        s.wait_for("num_requests_running", 0, seconds)
        s.wait_for("num_requests_waiting", 0, seconds)
    except AssertionError as e:
        raise AssertionError(f"{what}: {e}") from e


def test_in_the_queue(minke):
    with Server(minke, "-c", "100000", "--parallel", "1") as s:
        runs = send(s.port, "/completions", {**ENDLESS, "prompt": "1", "max_tokens": 90000})
        s.wait_for("num_requests_running", 1)
        for path, body in each():
            c = send(s.port, path, body)
            s.wait_for("num_requests_waiting", 1)
            c.close()
            try:
                s.wait_for("num_requests_waiting", 0, SOON)
            except AssertionError as e:
                raise AssertionError(f"{path} {body['stream']}: {e}") from e
            assert s.metric("num_requests_running") == 1
        runs.close()
        is_free(s, "the one that ran")
        assert canceled(s) == 1  # the others never began


def test_while_the_prompt_is_read(minke):
    """Scalar kernels take a minute for so long a prompt."""
    with Server(minke, "-c", "100000", "-b", "8", env={"MK_CPU": "scalar"}) as s:
        for i, (path, body) in enumerate(each(f"{'12 ' * 6000}")):
            c = send(s.port, path, body)
            s.wait_for("num_requests_running", 1)
            time.sleep(0.1)
            c.close()
            is_free(s, (path, body["stream"]))
            assert canceled(s) == i + 1 and s.metric("generation_tokens_total") == 0


def test_while_it_answers(minke):
    with Server(minke, "-c", "100000") as s:
        for i, (path, body) in enumerate(each()):
            before = s.metric("generation_tokens_total")
            c = send(s.port, path, body)
            if body["stream"]:
                while b"\n\n" not in c.recv(1000).split(b"\r\n\r\n")[-1]:
                    pass
            s.wait_for("num_requests_running", 1)
            time.sleep(0.2)
            c.close()
            is_free(s, (path, body["stream"]))
            assert canceled(s) == i + 1
            assert s.metric("generation_tokens_total") > before


def test_while_nobody_reads(minke):
    """The socket is full: a client that then goes away is seen, one that stays is given up.  (A
    whole answer has given its place back before it is sent.)"""
    path = os.path.join(tempfile.mkdtemp(), "minke.sock")  # has a small buffer
    for goes_away in (True, False):
        with Server(minke, "-c", "100000", "--host", "unix:" + path, "--client-timeout",
                    "60" if goes_away else "2") as s:
            start = time.monotonic()
            clients = [send(path, api, {**body, "stream": True})
                       for api, body in asks("1", 90000).items()]
            s.wait_for("num_requests_running", len(clients))
            if goes_away:
                wait_until_full(clients)
                assert s.metric("num_requests_running") == len(clients)
                for c in clients:
                    c.close()
            is_free(s, "goes away" if goes_away else "stays", SOON if goes_away else 60)
            assert goes_away or time.monotonic() > start + 2
            assert canceled(s) == len(clients)
            for c in clients:
                c.close()


if __name__ == "__main__":
    run([f for name, f in list(globals().items()) if name.startswith("test_")],
        os.path.realpath(sys.argv[1]))
