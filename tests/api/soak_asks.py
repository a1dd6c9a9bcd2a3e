"""What the soak asks: requests of every dialect, what a right answer to each looks like, and requests
that are wrong."""
import json
import random

from http1 import request_bytes

NUMBER = {"type": "integer", "minimum": 0, "maximum": 999}  # few states, so that the grammar's memory is
PARAMETERS = {"type": "object", "properties": {"a": NUMBER, "b": NUMBER},  # soon as large as it gets
              "required": ["a", "b"], "additionalProperties": False}
QUESTIONS = ("What is {a} + {b}?", "Multiply {a} by {b}.", "Which is larger, {a} or {b}?",
             "Sort these numbers: {a}, {b}, {c}.", "How many r are in strawberry?",
             "Make 24 from 3, {d} and 2.", "Hello!", "¿Qué es {a}? 🐋")


def question(rng):
    numbers = {k: rng.randint(10, 99) for k in "abc"}
    return rng.choice(QUESTIONS).format(**numbers, d=rng.randint(2, 9))


# ---- answers -------------------------------------------------------------------------
# Each is (thought, text, calls, why it ended, tokens, tokens of the prompt), whether it came whole or
# as a stream.


def call(name, arguments):
    return name, json.dumps(json.loads(arguments), sort_keys=True)


def data_of(body):
    """The events of a stream, whose text must be nothing but events and signs of life."""
    assert body.endswith(b"\n\n"), body[-80:]
    events = []
    for event in body.decode()[:-2].split("\n\n"):
        *names, data = event.split("\n")
        if event.startswith(": "):
            continue
        assert data.startswith("data: ") and len(names) <= 1, event
        events.append(data[6:])
    return events


def read_chat(body, streams, text_key="content"):
    if not streams:
        v = json.loads(body)
        choice, usage = v["choices"][0], v["usage"]
        m = choice.get("message") or {"content": choice["text"]}
        calls = [call(c["function"]["name"], c["function"]["arguments"])
                 for c in m.get("tool_calls") or ()]
        thought, text, why = m.get("reasoning_content") or "", m["content"] or "", choice["finish_reason"]
    else:
        *events, done = data_of(body)
        assert done == "[DONE]", done
        events = [json.loads(e) for e in events]
        assert len({e["id"] for e in events}) == 1, "several ids"
        choices = [e["choices"][0] for e in events]
        deltas = [c.get("delta") or {"content": c.get("text")} for c in choices]
        thought = "".join(d.get("reasoning_content") or "" for d in deltas)
        text = "".join(d.get("content") or "" for d in deltas)
        parts = {}
        for c in (c for d in deltas for c in d.get("tool_calls") or ()):
            name, arguments = parts.get(c["index"], (c["function"].get("name"), ""))
            parts[c["index"]] = name, arguments + c["function"].get("arguments", "")
        calls = [call(*parts[i]) for i in sorted(parts)]
        assert all(c["finish_reason"] is None for c in choices[:-1]), "it ends twice"
        why, usage = choices[-1]["finish_reason"], events[-1]["usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"], usage
    return thought, text, tuple(calls), why, usage["completion_tokens"], usage["prompt_tokens"]


def read_messages(body, streams):
    if not streams:
        v = json.loads(body)
        blocks, why, usage = v["content"], v["stop_reason"], v["usage"]
    else:
        events = [json.loads(e) for e in data_of(body)]
        blocks = []
        for e in events:
            if e["type"] == "content_block_start":
                assert e["index"] == len(blocks), e
                blocks.append({**e["content_block"], "partial": ""})
            elif e["type"] == "content_block_delta":
                d, b = e["delta"], blocks[e["index"]]
                key = next(k for k in ("thinking", "text", "partial_json", "signature") if k in d)
                to = "partial" if key == "partial_json" else key
                b[to] += d[key]
        assert events[0]["type"] == "message_start" and events[-1]["type"] == "message_stop"
        why, usage = events[-2]["delta"]["stop_reason"], events[-2]["usage"]
    joined = lambda kind: "".join(b[kind] for b in blocks if b["type"] == kind)
    calls = [call(b["name"], b.get("partial") or json.dumps(b["input"]))
             for b in blocks if b["type"] == "tool_use"]
    n_prompt = usage["input_tokens"] + usage["cache_read_input_tokens"]
    return joined("thinking"), joined("text"), tuple(calls), why, usage["output_tokens"], n_prompt


def read_responses(body, streams):
    told = None
    if streams:
        events = [json.loads(e) for e in data_of(body)]
        assert [e["sequence_number"] for e in events] == list(range(len(events)))
        told = tuple("".join(e["delta"] for e in events if e["type"] == f"response.{kind}.delta")
                     for kind in ("reasoning_text", "output_text"))
        assert events[-1]["type"] in ("response.completed", "response.incomplete"), events[-1]
        v = events[-1]["response"]
    else:
        v = json.loads(body)
    joined = lambda kind: "".join(p["text"] for i in v["output"] if i["type"] == kind
                                  for p in i["content"])
    thought, text = joined("reasoning"), joined("message")
    assert told in (None, (thought, text)), "the deltas are not what the answer says"
    calls = tuple(call(i["name"], i["arguments"]) for i in v["output"] if i["type"] == "function_call")
    why = (v["incomplete_details"] or {}).get("reason", v["status"])
    return thought, text, calls, why, v["usage"]["output_tokens"], v["usage"]["input_tokens"]


READERS = {"/chat/completions": read_chat, "/completions": read_chat, "/messages": read_messages,
           "/responses": read_responses}
FINE = {"stop", "length", "tool_calls", "end_turn", "max_tokens", "tool_use", "completed",
        "max_output_tokens", "repetition"}


# Latent attention reads whole prompts of so many tokens and more in another form, equal but for rounding
# (ARCHITECTURE.md, Attention).  How many tokens of a longer one that is depends on what is cached and on
# what else is read, and so may, seldom, its answer.
SHORT = 32


class Ask:
    """A request that is answered the same each time, however it is asked: always if its prompt is short
    and its user never asks anything long, and else nearly always."""

    def __init__(self, path, body, shape=None, is_long=False):
        self.path, self.body, self.shape, self.is_long = path, body, shape, is_long
        self.id = json.dumps([path, body])

    def bytes(self, key, number, streams, more=""):
        """As one of a few users of a key."""
        body = {**self.body, "stream": streams, "user_id": f"{'long' if self.is_long else 'short'} {number}"}
        if self.path == "/messages":
            body["metadata"] = {"user_id": body.pop("user_id")}
        return request_bytes("POST", "/v1" + self.path, body, key, more)

    def read(self, body, streams):
        """The answer of a body; an error if it is not whole, or not of the shape that was asked for."""
        answer = READERS[self.path](body, streams)
        _, text, calls, why, *_ = answer
        assert why in FINE, f"it ended with {why}"
        assert self.is_long or answer[-1] < SHORT, f"the prompt has {answer[-1]} tokens"
        if self.shape == "json" and why not in ("length", "max_output_tokens"):
            assert set(json.loads(text)) == {"a", "b"}, text
        if self.shape == "call" and why != "length":
            assert calls and calls[0][0] == "add" and set(json.loads(calls[0][1])) == {"a", "b"}, calls
        return answer


def asks(rng, n):
    """n times each kind."""
    schema = {"name": "x", "schema": PARAMETERS}
    tool = {"name": "add", "description": "Adds.", "parameters": PARAMETERS}
    off = {"thinking": {"type": "disabled"}}
    for _ in range(n):
        said = [{"role": "user", "content": question(rng)}]
        base = {"seed": rng.randint(0, 10 ** 6), "temperature": rng.choice((0, 0.7, 1))}
        chat = {**base, "messages": said, "max_tokens": 200}
        yield Ask("/chat/completions", chat)
        yield Ask("/chat/completions", {**chat, **off, "max_tokens": 40})
        yield Ask("/chat/completions", {**chat, "thinking": {"type": "enabled", "budget_tokens": 12}})
        yield Ask("/chat/completions", {**chat, **off, "response_format": {
            "type": "json_schema", "json_schema": schema}}, "json")
        yield Ask("/chat/completions", {**chat, **off, "tools": [{"type": "function", "function": tool}],
                                        "tool_choice": "required", "parallel_tool_calls": False}, "call",
                  is_long=True)
        yield Ask("/completions", {**base, "prompt": f"{rng.randint(1, 99)}+", "max_tokens": 60,
                                   "ignore_eos": True})
        yield Ask("/messages", {**base, "messages": said, "max_tokens": 200, "system": "Be brief."})
        yield Ask("/messages", {**base, **off, "messages": said, "max_tokens": 200, "tool_choice": {
            "type": "any"}, "tools": [{"name": "add", "input_schema": PARAMETERS}]}, "call",
                  is_long=True)
        yield Ask("/responses", {**base, "input": said, "max_output_tokens": 200})
        yield Ask("/responses", {**base, "input": said[0]["content"], "max_output_tokens": 300, "text": {
            "format": {"type": "json_schema", **schema}}}, "json")


def turn(number, messages):
    """The next question of conversation `number`, of which a few messages are there."""
    rng = random.Random(f"{number} {len(messages)}")
    said = [*messages, {"role": "user", "content": question(rng)}]
    return Ask(("/chat/completions", "/messages")[number % 2],
               {"messages": said, "seed": number, "temperature": 1, "max_tokens": 120},
               is_long=True)


LONG = Ask("/completions", {"prompt": "1", "max_tokens": 1500, "ignore_eos": True})


# ---- what is wrong -------------------------------------------------------------------


def wrong(rng, key):
    """A request that is refused, and the status it gets; None: the connection may just end."""
    chat = {"messages": [{"role": "user", "content": "Hi"}]}
    post = lambda body, path="/v1/chat/completions", k=key, more="": request_bytes("POST", path, body, k, more)
    whole = post(chat)
    cases = [
        (post(b'{"messages": ['), 400), (post(b"\xff\xfe"), 400), (post(b""), 400),
        (post(b"[" * rng.randint(65, 5000)), 400), (post({"messages": []}), 400),
        (post({**chat, "temperature": 9}), 400), (post({**chat, "max_tokens": -1}), 400),
        (post({**chat, "response_format": {"type": "xml"}}), 400),
        (post({"prompt": [-1]}, "/v1/completions"), 400), (post({"prompt": "1 " * 9000}, "/completions"), 400),
        (post({"max_tokens": 9, "messages": [{"role": "king"}]}, "/v1/messages"), 400),
        (post({"input": 5}, "/v1/responses"), 400), (post(chat, k="wrong"), 401), (post(chat, k=None), 401),
        (post(chat, "/v1/nothing"), 404), (request_bytes("PUT", "/v1/models", b"", key), 405),
        (whole.replace(b"application/json", b"text/plain"), 415),
        (whole.replace(b"Host: localhost", b"Host: evil.example"), 403),
        (post(chat, more="Origin: http://evil.example\r\n"), 403),
        (b"POST /completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n"
         b"Content-Type: application/json\r\nx-api-key: " + key.encode() + b"\r\n\r\n", 413),
        (rng.randbytes(rng.randint(1, 300)) + b"\r\n\r\n", None),
        (whole.replace(b"HTTP/1.1", b"HTTP/7"), None),
        (whole[:rng.randrange(len(whole))] + rng.randbytes(20), None),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100000 + b"\r\n\r\n", None),
        (b"POST /completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
         b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", None)]
    return rng.choice(cases)
