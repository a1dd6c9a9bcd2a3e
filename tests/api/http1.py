"""HTTP/1.1 as bytes, for clients that time it or misbehave."""
import json


def request_bytes(method, path, body=None, key=None, more=""):
    """A request; a body that is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    if key:
        head += f"Authorization: Bearer {key}\r\n"
    return f"{head}{more}Content-Length: {len(data)}\r\n\r\n".encode() + data


def parsed_head(head):
    """Status and headers, their names in small letters."""
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(":", 1) for line in lines if line)
    return int(first.split(" ")[1]), {k.lower(): v.strip() for k, v in pairs}


def dechunked(raw, at):
    """The parts of a chunked body that begins at raw[at], each with where it ends."""
    while True:
        end = raw.index(b"\r\n", at)
        n = int(raw[at:end], 16)
        at = end + 2 + n + 2
        if raw[at - 2:at] != b"\r\n":
            raise ValueError(f"a chunk of {n} bytes does not end where it says")
        if n == 0:
            return
        yield bytes(raw[end + 2:at - 2]), at
