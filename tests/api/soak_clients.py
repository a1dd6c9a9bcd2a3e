"""The clients of the soak: what they do to a server, well and badly."""
import asyncio
import json
import random
import socket
import struct

from http1 import parsed_head
from soak_asks import LONG, turn, wrong

KEYS = ("first-key", "second-key", "third-key")
LIMIT_S = 60  # for anything a client waits for
N_CONVERSATIONS, N_TURNS = 12, 5


class Connection:
    """A socket, and answers read from it n_read bytes at a time."""

    def __init__(self, life, n_read=1 << 16):
        self.life, self.n_read, self.got = life, n_read, b""
        self.loop = asyncio.get_running_loop()
        self.s = socket.socket()
        self.s.setblocking(False)
        if n_read < 1 << 16:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    async def open(self, port):
        await self.loop.sock_connect(self.s, ("127.0.0.1", port))
        return self

    async def send(self, data):
        await self.loop.sock_sendall(self.s, data)

    async def more(self):
        data = await self.loop.sock_recv(self.s, self.n_read)
        if not data:
            raise EOFError(f"the server closed the connection after {self.got[-200:]!r}")
        self.got += data

    async def until(self, mark):
        while mark not in self.got:
            await self.more()
        part, self.got = self.got.split(mark, 1)
        return part

    async def bytes(self, n):
        while len(self.got) < n:
            await self.more()
        part, self.got = self.got[:n], self.got[n:]
        return part

    async def answer(self):
        """Status, headers and body."""
        status, headers = parsed_head(await self.until(b"\r\n\r\n"))
        if "chunked" not in headers.get("transfer-encoding", ""):
            return status, headers, await self.bytes(int(headers["content-length"]))
        body = b""
        while n := int(await self.until(b"\r\n"), 16):
            body += await self.bytes(n)
            assert await self.bytes(2) == b"\r\n", "a chunk does not end where it says"
        assert await self.bytes(2) == b"\r\n"
        return status, headers, body

    def close(self, hard=False):
        if hard:  # a reset
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.s.close()


class Client:
    """Asks one thing after the other, each in a way that its random numbers choose."""

    def __init__(self, soak, number):
        self.soak, self.number = soak, number
        self.rng = random.Random(f"{soak.seed} {number}")
        self.key = KEYS[number % len(KEYS)]
        self.kept = None
        self.doing = ""
        self.acts = {self.ask_properly: 40, self.converse: 12, self.read_slowly: 4, self.never_read: 2,
                     self.leave_early: 9, self.leave_in_the_middle: 9, self.leave_unread: 3,
                     self.send_half: 4, self.close_half: 6, self.be_wrong: 11}

    async def run(self):
        act = list(self.acts)[self.number % len(self.acts)]  # so that each is done by somebody
        while True:
            if not self.soak.gate.is_set():
                self.drop()
                await self.soak.gate.wait()
            life = self.soak.life
            self.doing = act.__name__
            self.soak.count(f"act {act.__name__}")
            try:
                await asyncio.wait_for(act(), LIMIT_S)
            except Exception as e:
                self.drop()
                if self.soak.is_down or life != self.soak.life:
                    self.soak.count("cut by a kill or the stop")
                else:
                    self.soak.error(f"client {self.number}, {self.doing}: {type(e).__name__}: {e}")
            self.doing = ""
            act = self.rng.choices(list(self.acts), self.acts.values())[0]
            await asyncio.sleep(self.rng.expovariate(1 / self.soak.pause_s))

    # ---- parts of acts -----------------------------------------------------------------

    def drop(self):
        if self.kept:
            self.kept.close()
        self.kept = None

    def leave(self, c):
        is_hard = self.rng.random() < 0.5
        if not is_hard:
            self.soak.left.append(self.soak.at())
        c.close(is_hard)

    async def connect(self, n_read=1 << 16):
        return await Connection(self.soak.life, n_read).open(self.soak.port)

    def pick(self):
        """A request, whether as a stream, and its bytes."""
        ask, streams = self.rng.choice(self.soak.asks), self.rng.random() < 0.6
        self.doing += f", {'stream' if streams else 'whole'} {ask.id}"
        return ask, streams, self.bytes(ask, streams)

    def bytes(self, ask, streams):
        return ask.bytes(self.key, self.rng.randrange(3), streams)

    async def take(self, c, ask, streams):
        """The answer that must come now; None: there were too many requests."""
        status, headers, body = await c.answer()
        self.soak.count(f"status {status}")
        if status == 429:
            assert json.loads(body)["error"] and headers["retry-after"] == "1", body
            await asyncio.sleep(self.rng.random())
            return None
        assert status == 200, (status, body)
        answer = ask.read(body, streams)
        self.soak.compare(ask, answer)
        return answer

    async def ask_on_kept(self, ask, streams):
        """Over the connection of the last time if it is still there; it may stay for the next."""
        if self.kept and self.kept.life != self.soak.life:
            self.drop()
        c = self.kept = self.kept or await self.connect()
        await c.send(self.bytes(ask, streams))
        answer = await self.take(c, ask, streams)
        if self.rng.random() < 0.3:
            self.drop()
        return answer

    # ---- acts --------------------------------------------------------------------------

    async def ask_properly(self):
        ask, streams, _ = self.pick()
        await self.ask_on_kept(ask, streams)

    async def converse(self):
        """Turns that repeat all that was said before."""
        number, messages = self.rng.randrange(N_CONVERSATIONS), []
        for _ in range(self.rng.randint(2, N_TURNS)):
            if not self.soak.gate.is_set():
                return
            ask = turn(number, messages)
            self.doing = f"converse {ask.id}"
            answer = await self.ask_on_kept(ask, self.rng.random() < 0.5)
            if not answer:
                return
            messages = [*ask.body["messages"], {"role": "assistant", "content": answer[1] or "-"}]

    async def read_slowly(self):
        ask, streams, data = self.pick()
        c = await self.connect(1)
        try:
            await c.send(data)
            for _ in range(300):
                await c.more()
                await asyncio.sleep(self.rng.random() * 0.002)
            c.n_read = 512
            await self.take(c, ask, streams)
        finally:
            c.close()

    async def never_read(self):
        c = await self.connect(1)
        await c.send(self.bytes(LONG, True))
        await asyncio.sleep(self.rng.random() * 3)
        self.leave(c)

    async def leave_early(self):
        """While the request waits, is read or is answered."""
        _, _, data = self.pick()
        c = await self.connect()
        await c.send(data)
        await asyncio.sleep(self.rng.choice((0, self.rng.random() * 0.02, self.rng.random() * 0.3)))
        self.leave(c)

    async def leave_in_the_middle(self):
        """Of a stream, after some bytes of it."""
        c = await self.connect(200)
        await c.send(self.bytes(LONG, True))
        await c.bytes(self.rng.randint(1, 5000) if b"200 OK" in await c.until(b"\r\n") else 1)
        self.leave(c)

    async def leave_unread(self):
        """After the answer is there, without looking at it."""
        _, _, data = self.pick()
        c = await self.connect()
        await c.send(data)
        await c.more()
        await asyncio.sleep(self.rng.random())
        self.leave(c)

    async def send_half(self):
        """Of the request, in pieces, and go."""
        _, _, data = self.pick()
        data = data[:self.rng.randrange(len(data))]
        cut = self.rng.randint(0, len(data))
        c = await self.connect()
        await c.send(data[:cut])
        await asyncio.sleep(self.rng.random() * 0.05)
        await c.send(data[cut:])
        self.leave(c)

    async def close_half(self):
        """The sending half, once the request is out: a whole answer comes, a stream may be cut."""
        ask, streams, data = self.pick()
        c = await self.connect()
        try:
            await c.send(data)
            c.s.shutdown(socket.SHUT_WR)
            if not streams:
                await self.take(c, ask, streams)
                return
            status, _, _ = await c.answer()
            assert status in (200, 429), status
            self.soak.count("half-closed streams")
        except (EOFError, ConnectionError):
            if not streams:
                raise
        finally:
            self.leave(c)

    async def be_wrong(self):
        data, want = wrong(self.rng, self.key)
        self.doing += f", {data[:400]!r}"
        c = await self.connect()
        try:
            await c.send(data)
            status, _, _ = await asyncio.wait_for(c.answer(), LIMIT_S if want else 1)
            self.soak.count(f"wrong, status {status}")
            assert status == want or (want is None and 400 <= status < 600), (status, want)
        except (EOFError, ConnectionError, asyncio.TimeoutError):
            if want:
                raise
            self.soak.count("wrong, no answer")
        finally:
            self.leave(c)
