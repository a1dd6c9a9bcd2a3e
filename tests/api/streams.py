"""What each API puts on the wire, byte for byte.

    streams.py MINKE [--update]

tests/golden/api/CASE.json is the body of a whole answer, CASE.sse that of its stream; --update
writes them.  Answers are greedy, to what the model inside the program is sure of, so they are the
same on every processor; each is asked with a key of its own, so that none finds another's prompt.
Ids, times, speeds and the version are replaced, log probabilities have two digits.

How many tokens a delta holds depends on when the connection looks.  So in CASE.sse neighbouring
deltas of a kind are joined; that each event was written as its JSON is written here, and that they
are numbered without gaps, is checked before.  The cases "one" have a single token and are not
joined.
"""
import json
import os
import re
import socket
import subprocess
import sys

from server import Server, run

FOLDER = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../golden/api")
UPDATE = "--update" in sys.argv
F32 = ("--kv", "f32")  # with bf16 keys the last bits depend on the processor

ASK = {"temperature": 0, "messages": [{"role": "user", "content": "What is 12 + 29?"}]}
INPUT = {"temperature": 0, "input": "What is 12 + 29?"}
FLAT = {"thinking": {"type": "disabled"}}
NONE = {"reasoning": {"effort": "none"}}
SUM = {"type": "object", "properties": {"a": {"const": 12}, "b": {"const": "29漢😀"}},
       "required": ["a", "b"], "additionalProperties": False}
ADD = {"name": "add", "parameters": SUM}
PROMPT = {"temperature": 0, "prompt": "12+29: 2+9=11 1+2+1=4 so ", "max_tokens": 2}
CASES = {
    "chat-thinking": ("/chat/completions", ASK),
    "chat-plain": ("/chat/completions", {**ASK, **FLAT}),
    "chat-usage": ("/chat/completions", {**ASK, **FLAT, "stream_options": {"include_usage": True}}),
    "chat-logprobs": ("/chat/completions", {**ASK, "logprobs": True, "top_logprobs": 1}),
    "chat-call": ("/chat/completions", {
        **ASK, **FLAT, "tools": [{"type": "function", "function": ADD}],
        "tool_choice": {"type": "function", "function": {"name": "add"}}}),
    "chat-one": ("/chat/completions", {**ASK, "max_tokens": 1}),
    "completions": ("/completions", PROMPT),
    "completions-logprobs": ("/completions", {**PROMPT, "logprobs": 1}),
    "completions-one": ("/completions", {**PROMPT, "max_tokens": 1}),
    "messages-thinking": ("/messages", {**ASK, "max_tokens": 99}),
    "messages-call": ("/messages", {
        **ASK, **FLAT, "max_tokens": 500, "tool_choice": {"type": "tool", "name": "add"},
        "tools": [{"name": "add", "input_schema": SUM}]}),
    "messages-one": ("/messages", {**ASK, "max_tokens": 1}),
    "responses-thinking": ("/responses", INPUT),
    "responses-plain": ("/responses", {**INPUT, **NONE}),
    "responses-call": ("/responses", {**INPUT, **NONE, "tools": [{"type": "function", **ADD}],
                                      "tool_choice": {"type": "function", "name": "add"}}),
    "responses-one": ("/responses", {**INPUT, "max_output_tokens": 1}),
}
N_VOCAB, BOS = 768, "<｜begin▁of▁sentence｜>"  # of the model inside the program; BOS is token 0
KEYS = [f"key-{i}" for i in range(3 * len(CASES))]


# ---- one form for what varies ----------------------------------------------------------

VARIES = (
    (r'"(created|created_at)":\d+', r'"\1":0'),
    (r'"((?:prompt|predicted)_(?:ms|per_second))":[-+.\de]+', r'"\1":0'),
    (r',"draft_n":\d+,"draft_n_accepted":\d+', ''),
    (r'"minke-[.\d]+"', '"minke-VERSION"'),
)
ID = r'"(chatcmpl-|cmpl-|resp_|msg_|rs_|fc_|call_\d\d_|toolu_\d\d)([0-9a-z]{24,34})"'


def replaced(text):
    """Ids are numbered in the order in which they appear."""
    ids = {}
    for pattern, by in VARIES:
        text = re.sub(pattern, by, text)
    return re.sub(ID, lambda m: f'"{m[1]}{ids.setdefault(m[2], f"ID{len(ids) + 1}")}"', text)


def parsed(text):
    """Numbers with a fraction stay as they are written, behind a NUL, which no text has."""
    return json.loads(text, parse_float=lambda digits: "\0" + digits)


def written(v):
    text = json.dumps(v, ensure_ascii=False, separators=(",", ":"))
    return re.sub(r'"\\u0000([^"]*)"', r"\1", text)


def rounded(v, is_logprob=False):
    if isinstance(v, dict):
        return {k: rounded(x, is_logprob or k == "logprobs") for k, x in v.items()}
    if isinstance(v, list):
        return [rounded(x, is_logprob) for x in v]
    if is_logprob and isinstance(v, str) and v.startswith("\0"):
        return f"\0{float(v[1:]) - 1e-9:.2f}"  # never -0.00 here and 0.00 there
    return v


def json_form(body):
    text = replaced(body.lstrip(b"\n").decode())  # blanks, if it took long
    assert written(parsed(text)) == text, text
    return written(rounded(parsed(text)))


def events_of(body):
    """[(name or None, JSON or "[DONE]")], each of which was the bytes that it must be."""
    *events, end = replaced(body.decode()).split("\n\n")
    assert end == "", end
    out = []
    for event in events:
        if event == ": keep-alive":
            continue
        name, data = re.fullmatch(r"(?:event: ([a-z_.]+)\n)?data: ([^\n]*)", event).groups()
        v = data if data == "[DONE]" else parsed(data)
        assert data == (v if data == "[DONE]" else written(v)), data
        out.append((name, v))
    numbers = [v["sequence_number"] for _, v in out if "sequence_number" in v]
    assert numbers == list(range(len(numbers))) and len(numbers) in (0, len(out)), numbers
    return out


TEXTS = "content", "reasoning_content", "arguments", "text", "thinking", "partial_json", "delta"
LISTS = "content", "reasoning_content", "tokens", "token_logprobs", "top_logprobs", "text_offset"


def kind(v, key=None):
    """An event without what grows."""
    if (key in TEXTS and isinstance(v, str)) or (key in LISTS and isinstance(v, list)):
        return type(v)()
    if isinstance(v, dict):
        return {k: kind(x, k) for k, x in v.items() if k != "sequence_number"}
    return [kind(x) for x in v] if isinstance(v, list) else v


def added(a, b, key=None):
    """Two events of a kind as one."""
    if (key in TEXTS and isinstance(a, str)) or (key in LISTS and isinstance(a, list)):
        return a + b
    if isinstance(a, dict):
        return {k: added(a[k], b[k], k) for k in a}
    return [added(x, y) for x, y in zip(a, b)] if isinstance(a, list) else a


def joined(events):
    """Neighbours of a kind are one."""
    out = []
    for name, v in events:
        if out and kind(out[-1][1]) == kind(v):
            out[-1] = (name, added(out[-1][1], v))
        else:
            out.append((name, v))
    for i, (_, v) in enumerate(out):
        if "sequence_number" in v:
            v["sequence_number"] = i
    return out


def stream_form(events):
    lines = []
    for name, v in events:
        lines += [f"event: {name}\n"] if name else []
        lines.append(f"data: {v if isinstance(v, str) else written(rounded(v))}\n\n")
    return "".join(lines)


def check_golden(name, form):
    path = os.path.join(FOLDER, name)
    if UPDATE:
        os.makedirs(FOLDER, exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(form)
    with open(path, encoding="utf-8") as f:
        assert form == f.read(), f"{name}: {form}"


# ---- what an answer says, whole and as a stream ----------------------------------------


def chat_says(v):
    message, usage = v["choices"][0]["message"], v["usage"]
    calls = [(c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls", [])]
    return (message.get("reasoning_content", ""), message["content"], calls,
            v["choices"][0]["finish_reason"], v["choices"][0]["logprobs"], usage)


def chat_stream_says(events):
    thought, text, calls, logprobs = "", "", [], None
    for v in (v for _, v in events[:-1]):
        delta, more = v["choices"][0]["delta"], v["choices"][0]["logprobs"]
        thought += delta.get("reasoning_content") or ""
        text += delta.get("content") or ""
        for call in delta.get("tool_calls", []):
            calls += [("", "")] * (call["index"] + 1 - len(calls))
            name, arguments = calls[call["index"]]
            part = call["function"]
            calls[call["index"]] = (name + part.get("name", ""), arguments + part["arguments"])
        logprobs = more if logprobs is None else added(logprobs, more)
    last = events[-2][1]
    return thought, text, calls, last["choices"][0]["finish_reason"], logprobs, last["usage"]


def completion_says(v):
    return [v["choices"][0][k] for k in ("text", "logprobs", "finish_reason")] + [v["usage"]]


def completion_stream_says(events):
    choices = [v["choices"][0] for _, v in events[:-1]]
    logprobs = choices[0]["logprobs"]
    for c in choices[1:] if logprobs else []:
        logprobs = added(logprobs, c["logprobs"])
    return ["".join(c["text"] for c in choices), logprobs, choices[-1]["finish_reason"],
            events[-2][1]["usage"]]


def messages_says(v):
    return ([{k: x for k, x in b.items() if k != "id"} for b in v["content"]], v["stop_reason"],
            v["usage"])


def messages_stream_says(events):
    blocks, texts = [], []
    for name, v in events:
        assert name == v["type"]
        if name == "content_block_start":
            blocks.append({k: x for k, x in v["content_block"].items() if k != "id"})
            texts.append("")
        elif name == "content_block_delta":
            (key, text), = ((k, x) for k, x in v["delta"].items() if k != "type")
            if key == "partial_json":
                texts[v["index"]] += text
            else:
                blocks[v["index"]][key] += text
        elif name == "content_block_stop" and "input" in blocks[v["index"]]:
            blocks[v["index"]]["input"] = json.loads(texts[v["index"]])
    return blocks, events[-2][1]["delta"]["stop_reason"], events[-2][1]["usage"]


def response_says(v):
    return written(v)


def response_stream_says(events):
    """Deltas make up what the items and the last event say."""
    last = events[-1][1]["response"]
    for i, item in enumerate(last["output"]):
        text = "".join(v["delta"] for name, v in events
                       if name.endswith(".delta") and v["output_index"] == i)
        assert text == (item["arguments"] if "arguments" in item else item["content"][0]["text"])
    return replaced(written(last).replace("ID", "0" * 24))


SAYS = {"/chat/completions": (chat_says, chat_stream_says),
        "/completions": (completion_says, completion_stream_says),
        "/messages": (messages_says, messages_stream_says),
        "/responses": (response_says, response_stream_says)}


# ---- asking ----------------------------------------------------------------------------


def blanks(s):
    """Tokens that begin with one: where JSON may have them, none is a matter of taste."""
    ids = list(range(1, N_VOCAB))
    tokens = [t for i in ids for t in (i, 0)]
    texts = s.post("/detokenize", {"tokens": tokens}, headers=key_of(0))["content"].split(BOS)
    return {str(i): -100 for i, text in zip(ids, texts) if text[:1].isspace()}


def key_of(i):
    return {"Authorization": "Bearer " + KEYS[i]}


def ask(s, path, body, i):
    status, headers, text = s.request("POST", path, body, key_of(i))
    want = "text/event-stream" if body.get("stream") else "application/json"
    assert status == 200 and headers["Content-Type"] == want, (status, headers, text)
    return text


def ask_bytewise(s, path, body, i):
    """The body of a stream, read one byte at a time."""
    data = json.dumps({**body, "stream": True}).encode()
    head = (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEYS[i]}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n")
    with socket.create_connection(("127.0.0.1", s.port), timeout=20) as c:
        c.sendall(head.encode() + data)
        got = b""
        while not got.endswith(b"\r\n0\r\n\r\n"):
            byte = c.recv(1)
            assert byte, got
            got += byte
    _, chunks = got.split(b"\r\n\r\n", 1)
    text = b""
    while chunks:
        size, chunks = chunks.split(b"\r\n", 1)
        text, chunks = text + chunks[:int(size, 16)], chunks[int(size, 16) + 2:]
    return text


def levels(minke):
    """Instruction sets to run with: $MK_CPU, or the lowest above scalar, and all there are."""
    if "MK_CPU" in os.environ:
        return [os.environ["MK_CPU"]]
    out = subprocess.run([minke, "cpu"], check=True, capture_output=True, text=True).stdout
    have = re.search(r"^levels +(.*)", out, re.M)[1].split()
    return [have[:2][-1], re.search(r"^used +(\S+)", out, re.M)[1]]


def server(minke, **env):
    return Server(minke, *F32, env={**env, "MINKE_API_KEY": "\n".join(KEYS)})


def test_the_bytes_of_each_api(minke):
    for level in levels(minke):
        with server(minke, MK_CPU=level) as s:
            no_blanks = {"logit_bias": blanks(s)}
            for i, (name, (path, body)) in enumerate(CASES.items()):
                body = {**body, **(no_blanks if "tools" in body else {})}
                whole = ask(s, path, body, 3 * i)
                check_golden(name + ".json", json_form(whole))
                events = events_of(ask(s, path, {**body, "stream": True}, 3 * i + 1))
                whole_says, stream_says = SAYS[path]
                says = whole_says(parsed(replaced(whole.decode())))
                assert stream_says(events) == says, (name, says, stream_says(events))
                form = stream_form(events if name.endswith("-one") else joined(events))
                check_golden(name + ".sse", form)
                again = events_of(ask_bytewise(s, path, body, 3 * i + 2))
                assert stream_form(joined(again)) == stream_form(joined(events)), name


def test_tokens_are_counted_right(minke):
    """A thought's tokens are those of its text and the one that closes it."""
    with server(minke) as s:
        whole = json.loads(ask(s, "/chat/completions", {**ASK, "logprobs": True}, 0))
        message, usage = whole["choices"][0]["message"], whole["usage"]
        made = whole["choices"][0]["logprobs"]

        def n_toks(text):
            return len(s.post("/tokenize", {"content": text}, headers=key_of(0))["tokens"])
        n_thought = n_toks(message["reasoning_content"] + "</think>")
        assert usage["completion_tokens_details"]["reasoning_tokens"] == n_thought
        assert usage["completion_tokens"] == n_thought + n_toks(message["content"])
        assert len(made["content"]) + len(made["reasoning_content"]) == usage["completion_tokens"]
        prompt = s.post("/apply-template", ASK, headers=key_of(0))["prompt"]
        assert usage["prompt_tokens"] == n_toks(prompt)


# ---- characters ------------------------------------------------------------------------

TEXT = "漢字 é 😀 \u0301o\u0308 ﷺ" * 4
SAY = {"const": TEXT}
SAY_TOOL = {"name": "say", "parameters": {"type": "object", "properties": {"it": SAY},
                                          "required": ["it"], "additionalProperties": False}}
SAYING = (  # requests whose answer must be TEXT, or have it in the arguments of a call
    ("/chat/completions", {**ASK, **FLAT, "response_format": {
        "type": "json_schema", "json_schema": {"name": "x", "schema": SAY}}}),
    ("/chat/completions", {**ASK, **FLAT, "tools": [{"type": "function", "function": SAY_TOOL}],
                           "tool_choice": "required", "parallel_tool_calls": False}),
    ("/messages", {**ASK, **FLAT, "max_tokens": 999, "output_config": {"format": {"schema": SAY}}}),
    ("/messages", {**ASK, **FLAT, "max_tokens": 999, "tool_choice": {"type": "tool", "name": "say"},
                   "tools": [{"name": "say", "input_schema": SAY_TOOL["parameters"]}]}),
    ("/responses", {**INPUT, **NONE, "text": {"format": {"type": "json_schema", "name": "x",
                                                         "schema": SAY}}}),
    ("/responses", {**INPUT, **NONE, "tools": [{"type": "function", **SAY_TOOL}],
                    "tool_choice": "required", "parallel_tool_calls": False}),
)


def texts_of(v, key=None):
    """All texts of an event that may be a part of an answer."""
    if key in TEXTS and isinstance(v, str):
        yield v
    for k, x in v.items() if isinstance(v, dict) else enumerate(v) if isinstance(v, list) else ():
        yield from texts_of(x, k)


def test_characters_are_never_split(minke):
    """Tokens end within characters, deltas never do."""
    with server(minke) as s:
        no_blanks = {"logit_bias": {k: -50 for k in blanks(s)}}  # but where they must be
        ids = s.post("/tokenize", {"content": TEXT}, headers=key_of(0))["tokens"]
        assert len(ids) > len(TEXT)
        n_deltas = 0
        for path, body in SAYING:
            events = events_of(ask(s, path, {**body, **no_blanks, "stream": True}, 0))  # decodes
            deltas = [t for _, v in events for t in texts_of(v) if set(t) & set(TEXT)]
            assert not any("\ufffd" in t for t in deltas), (path, deltas)
            assert TEXT in "".join(deltas), (path, deltas)
            n_deltas += len(deltas)
        assert n_deltas > 4 * len(SAYING)
        few = s.post("/tokenize", {"content": "é漢"}, headers=key_of(0))["tokens"]
        assert len(few) == len(set(few)) == 5
        bias = {str(t): 100 - 10 * i for i, t in enumerate(few)}  # one byte after the other
        *events, _ = events_of(ask(s, "/completions", {
            "prompt": "1", "temperature": 0, "repetition_penalty": 100, "logit_bias": bias,
            "max_tokens": 5, "stream": True, "logprobs": 0}, 0))
        texts = [v["choices"][0]["text"] for _, v in events]
        assert [t for t in texts if t] in (["é", "漢"], ["é漢"]), texts
        assert events[-1][1]["usage"]["completion_tokens"] == 5


if __name__ == "__main__":
    run([f for name, f in list(globals().items()) if name.startswith("test_")],
        os.path.realpath(sys.argv[1]))
