"""What clients rely on, and what must not happen, over real sockets: see each test."""
import base64
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

from http1 import request_bytes
from server import JSON, MORE, Server, run, wait_until_full

CHAT = "/v1/chat/completions"
ASK = {"model": "tiny", "seed": 7,
       "messages": [{"role": "user", "content": "What is 12 + 29?"}]}
LONG = {"model": "tiny", "prompt": "1", "ignore_eos": True, "seed": 1}


def joined(events, key):
    return "".join(e["choices"][0]["delta"].get(key) or "" for e in events)


def test_stream_says_what_the_whole_answer_says(minke):
    with Server(minke) as s:
        for ask in (ASK, {**ASK, "thinking": {"type": "disabled"}}, {**ASK, "temperature": 0},
                    {**ASK, "max_tokens": 9}, {**ASK, "stop": ["2+9", "zzz"]}):
            whole = s.post(CHAT, ask)
            *events, done = s.stream(CHAT, ask)
            assert done == "[DONE]"
            choice, message = whole["choices"][0], whole["choices"][0]["message"]
            first, last = events[0]["choices"][0], events[-1]["choices"][0]
            assert first["delta"]["role"] == "assistant"
            assert joined(events, "content") == message["content"]
            assert joined(events, "reasoning_content") == message.get("reasoning_content", "")
            assert last["finish_reason"] == choice["finish_reason"]
            assert all(e["choices"][0]["finish_reason"] is None for e in events[:-1])
            for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
                assert events[-1]["usage"][name] == whole["usage"][name], name
            assert len({e["id"] for e in events}) == 1
            assert all("usage" not in e for e in events[:-1])
        *events, _ = s.stream(CHAT, {**ASK, "stream_options": {"include_usage": True}})
        assert all(e["usage"] is None for e in events[:-1]) and events[-1]["usage"]


def test_keys_and_their_order_are_deepseeks(minke):
    with Server(minke) as s:
        whole = s.post(CHAT, ASK)
        assert list(whole)[:6] == ["id", "object", "created", "model", "system_fingerprint",
                                   "choices"]
        assert list(whole["choices"][0]) == ["index", "message", "logprobs", "finish_reason"]
        assert whole["object"] == "chat.completion"
        usage = whole["usage"]
        assert usage["prompt_tokens"] == (usage["prompt_cache_hit_tokens"]
                                          + usage["prompt_cache_miss_tokens"])
        assert 0 < usage["completion_tokens_details"]["reasoning_tokens"] < usage["completion_tokens"]
        plain = s.post(CHAT, {**ASK, "model": "deepseek-chat"})
        assert "reasoning_content" not in plain["choices"][0]["message"]
        assert "completion_tokens_details" not in plain["usage"]
        events = list(s.stream(CHAT, ASK))
        assert list(events[0]) == ["id", "object", "created", "model", "system_fingerprint",
                                   "choices"]
        assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": None,
                                                    "reasoning_content": ""}


def test_every_path_that_clients_use(minke):
    with Server(minke, "--alias", "my/model:1") as s:
        for prefix in ("", "/v1", "/beta", "/v1/beta", "/beta/v1"):
            s.post(prefix + "/chat/completions", {**ASK, "max_tokens": 1})
        assert json.loads(s.get("/v1/models"))["data"][0]["id"] == "my/model:1"
        assert json.loads(s.get("/v1/models/my%2Fmodel%3A1"))["object"] == "model"
        s.get("/models/other", 404)
        assert json.loads(s.get("/health")) == {"status": "ok"}
        assert json.loads(s.get("/props"))["total_slots"] == 16
        ids = s.post("/tokenize", {"content": "12 + 3"})["tokens"]
        assert s.post("/detokenize", {"tokens": ids})["content"] == "12 + 3"
        assert "12 + 29" in s.post("/apply-template", {"messages": ASK["messages"]})["prompt"]
        whole = s.post("/v1/completions", {"prompt": ids, "max_tokens": 5, "seed": 3})
        same = s.post("/v1/completions", {"prompt": "12 + 3", "max_tokens": 5, "seed": 3,
                                          "echo": True})
        assert same["choices"][0]["text"].startswith("12 + 3")
        assert whole["object"] == "text_completion" and whole["choices"][0]["finish_reason"] == "length"


def test_logprobs(minke):
    with Server(minke) as s:
        ask = {**ASK, "logprobs": True, "top_logprobs": 3}
        whole = s.post(CHAT, ask)
        got = whole["choices"][0]["logprobs"]
        assert len(got["content"]) + len(got["reasoning_content"]) == whole["usage"]["completion_tokens"]
        for t in got["content"] + got["reasoning_content"]:
            assert t["logprob"] <= 0 and len(t["top_logprobs"]) == 3
            assert t["bytes"] == list(t["token"].encode())
        parts = [e["choices"][0]["logprobs"] for e in s.stream(CHAT, ask) if e != "[DONE]"]
        assert sum((p["content"] for p in parts), []) == got["content"]
        assert sum((p["reasoning_content"] for p in parts), []) == got["reasoning_content"]


def test_experts(minke):
    """Which experts computed each token: of the whole answer, of a stream, in any company."""
    with Server(minke) as s:
        ask = {**ASK, "return_experts": True}
        whole = s.post(CHAT, ask)
        choice = whole["choices"][0]
        got = choice["experts"]
        assert choice["logprobs"] is None
        assert (got["n_expert"], got["layers"]) == (8, [1, 2, 3, 4]), got["n_expert"]
        toks = got["reasoning_content"] + got["content"]
        assert len(toks) == whole["usage"]["completion_tokens"]
        for t in toks:
            assert len(t) == 4 and all(0 <= a < b < 8 for a, b in t), t
        assert len({json.dumps(t) for t in toks}) > len(toks) / 4
        for _ in range(2):
            events = list(s.stream(CHAT, {**ask, "logprobs": True}))[:-1]
            parts = [e["choices"][0] for e in events]
            for key in ("content", "reasoning_content"):
                assert sum((p["experts"][key] for p in parts), []) == got[key]
            assert all(len(p["experts"]["content"]) == len(p["logprobs"]["content"]) for p in parts)
            others = [s.stream(CHAT, {**ASK, "seed": i}) for i in range(5)]
            for other in others:
                next(other)
        cut = s.post(CHAT, {**ask, "thinking": {"type": "enabled", "budget_tokens": 4}})
        toks = cut["choices"][0]["experts"]
        assert toks["reasoning_content"][:4] == got["reasoning_content"][:4]
        assert (toks["reasoning_content"] + toks["content"]).count(None) == 1  # the end of the thought was said
        assert "experts" not in s.post(CHAT, ASK)["choices"][0]
        assert s.post(CHAT, {**ask, "return_experts": 1}, 400)["error"]["param"] == "return_experts"
        assert json.loads(s.get("/props"))["n_expert"] == 8
    with tempfile.TemporaryDirectory() as folder:
        dense = folder + "/dense.gguf"
        subprocess.run([os.path.dirname(minke) + "/mkmodel", "--shape", "small-qwen2", "--type", "q4_0",
                        "--out", dense], check=True)
        with Server(minke, "-m", dense, "--template", "r1-distill-qwen") as s:
            assert s.post(CHAT, ask, 400)["error"]["param"] == "return_experts"
            assert json.loads(s.get("/props"))["n_expert"] == 0


def test_stops(minke):
    with Server(minke) as s:
        text = s.post("/completions", {"prompt": "1", "max_tokens": 40, "seed": 5})["choices"][0]["text"]
        for n in (1, 2, 5):  # across tokens
            stop = text[8:8 + n]
            got = s.post("/completions", {"prompt": "1", "max_tokens": 40, "seed": 5, "stop": stop})
            assert got["choices"][0]["text"] == text[:text.index(stop)], stop
            assert got["choices"][0]["finish_reason"] == "stop"
        s.post("/completions", {"prompt": "1", "max_tokens": 1, "stop": ["x"] * 16})


SCHEMA = {"type": "object", "properties": {"answer": {"type": "integer"}, "sure": {"enum": ["yes", "no"]}},
          "required": ["answer", "sure"], "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {
    "type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"], "additionalProperties": False}}}


def test_answers_have_the_shape_that_is_asked_for(minke):
    with Server(minke, "-c", "4000") as s:
        for more in ({}, {"thinking": {"type": "disabled"}}):
            for seed in range(4):
                ask = {**ASK, **more, "seed": seed, "response_format": {
                    "type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}}
                message = s.post(CHAT, ask)["choices"][0]["message"]
                got = json.loads(message["content"])
                assert set(got) == {"answer", "sure"} and isinstance(got["answer"], int)
                assert bool(message.get("reasoning_content")) == (not more)
                assert joined(list(s.stream(CHAT, ask))[:-1], "content") == message["content"]
        whole = s.post(CHAT, {**ASK, "response_format": {"type": "json_object"}})
        assert isinstance(json.loads(whole["choices"][0]["message"]["content"]), dict)
        got = s.post("/v1/responses", {"input": "Hi", "text": {"format": {
            "type": "json_schema", "name": "x", "schema": SCHEMA}}})
        json.loads(got["output"][-1]["content"][0]["text"])
        for format in ({"type": "json_schema"}, {"type": "xml"}, {"type": "json_schema", "json_schema": {
                "schema": {"type": "array", "uniqueItems": True}}}, {"type": "json_schema", "json_schema": {
                "schema": {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}}}):
            error = s.post(CHAT, {**ASK, "response_format": format}, 400)["error"]
            assert error["param"] == "response_format", error


def test_answers_match_a_regular_expression(minke):
    pattern = r"(yes|no), [0-9]{3}-[0-9]{2}"
    with Server(minke) as s:
        for thinking in ("enabled", "disabled"):
            ask = {**ASK, "thinking": {"type": thinking}, "temperature": 2}
            for seed in range(4):
                answer = s.post(CHAT, {**ask, "seed": seed,
                                       "structured_outputs": {"regex": pattern}})
                text = answer["choices"][0]["message"]["content"]
                assert re.fullmatch(pattern, text), text
        for regex in ("(", "a(?=b)", "x" * 2000, 5):
            error = s.post(CHAT, {**ASK, "structured_outputs": {"regex": regex}}, 400)["error"]
            assert error["param"] in ("structured_outputs", "regex"), error


def test_embeddings(minke):
    texts = ["What is 12 + 29?", "What is 12 + 30?", "Sort these words: pear, apple, fig."]
    with Server(minke) as s:
        answer = s.post("/v1/embeddings", {"input": texts})
        assert [d["index"] for d in answer["data"]] == [0, 1, 2]
        a, b, c = (d["embedding"] for d in answer["data"])
        def dot(x, y):
            return sum(p * q for p, q in zip(x, y))
        assert abs(dot(a, a) - 1) < 1e-5 and dot(a, b) > dot(a, c) + 0.05
        ids = s.post("/tokenize", {"content": texts[0], "add_special": True})["tokens"]
        assert answer["usage"]["prompt_tokens"] > 2 * len(ids)
        results = []
        def ask_again():  # alone or beside others, as text or ids: the same bits
            results.append(s.post("/v1/embeddings", {"input": [ids], "encoding_format": "base64"}))
        threads = [threading.Thread(target=ask_again) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for r in results:
            bits = base64.b64decode(r["data"][0]["embedding"])
            assert all(abs(x - y) < 1e-7
                       for x, y in zip(struct.unpack(f"<{len(a)}f", bits), a, strict=True))
        short = s.post("/v1/embeddings", {"input": texts[0], "dimensions": 8})["data"][0]
        assert len(short["embedding"]) == 8 and abs(dot(*2 * [short["embedding"]]) - 1) < 1e-5
        for bad, param in (({}, "input"), ({"input": []}, "input"), ({"input": [""]}, "input"),
                           ({"input": [[1, -1]]}, "input"), ({"input": ["a", []]}, "input"),
                           ({"input": [5, "a"]}, "input"), ({"input": {"a": 1}}, "input"),
                           ({"input": "1 " * 9000}, "input"), ({"input": ["1"] * 3000}, "input"),
                           ({"input": "a", "encoding_format": "x"}, "encoding_format"),
                           ({"input": "a", "dimensions": 0}, "dimensions")):
            assert s.post("/v1/embeddings", bad, 400)["error"]["param"] == param, bad
        s.wait_for("num_requests_running", 0)


def test_what_else_clients_ask(minke):
    with Server(minke, "--parallel", "3") as s:
        models = json.loads(s.get("/v1/models"))
        assert models["first_id"] == models["data"][0]["display_name"] == "tiny"
        assert json.loads(s.get("/user/balance"))["is_available"] is True
        s.post(CHAT, ASK)
        s.wait_for("num_requests_running", 0)
        slots = json.loads(s.get("/slots"))
        assert [p["id"] for p in slots] == [0, 1, 2] and slots[0]["n_past"] > 10
        assert not any(p["is_processing"] for p in slots)


def test_forced_calls(minke):
    with Server(minke, "-c", "4000") as s:
        for choice in ("required", {"type": "function", "function": {"name": "add"}}):
            ask = {**ASK, "tools": [TOOL], "tool_choice": choice, "parallel_tool_calls": False,
                   "thinking": {"type": "disabled"}}
            got = s.post(CHAT, ask)["choices"][0]
            assert got["finish_reason"] == "tool_calls" and got["message"]["content"] == ""
            (call,) = got["message"]["tool_calls"]
            args = json.loads(call["function"]["arguments"])
            assert call["type"] == "function" and call["function"]["name"] == "add"
            assert call["id"].startswith("call_00_") and set(args) == {"a", "b"}
            events = list(s.stream(CHAT, ask))[:-1]
            parts = [t for e in events for t in e["choices"][0]["delta"].get("tool_calls", [])]
            assert parts[0]["function"]["name"] == "add" and parts[0]["type"] == "function"
            assert "".join(p["function"]["arguments"] for p in parts) == call["function"]["arguments"]
            assert all(p["index"] == 0 for p in parts)
            assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"
            assert joined(events, "content") == ""  # nothing of the call's syntax leaks
            turns = ASK["messages"] + [got["message"], {"role": "tool", "tool_call_id": call["id"],
                                                        "content": "41"}]
            s.post(CHAT, {**ask, "messages": turns, "tool_choice": "none"})
        for choice, tools in (("required", []), ({"type": "function", "function": {"name": "sub"}}, [TOOL]),
                              ("perhaps", [TOOL])):
            s.post(CHAT, {**ASK, "tools": tools, "tool_choice": choice}, 400)
        got = s.post("/v1/messages", {"max_tokens": 500, "messages": ASK["messages"], "thinking": {
            "type": "disabled"}, "tool_choice": {"type": "tool", "name": "add"}, "tools": [{
                "name": "add", "input_schema": TOOL["function"]["parameters"]}]})
        assert got["stop_reason"] == "tool_use" and set(got["content"][-1]["input"]) == {"a", "b"}


HARD = {"model": "tiny", "seed": 3, "messages": [
    {"role": "user", "content": "Sort these numbers in ascending order: 95, 12, 41, 77, 23, 60."}]}


def test_thoughts_under_control(minke):
    with Server(minke, "-c", "30000") as s:
        free = s.post(CHAT, HARD)
        n_free = free["usage"]["completion_tokens_details"]["reasoning_tokens"]
        assert n_free > 20, n_free
        for ask in ({**HARD, "thinking": {"type": "enabled", "budget_tokens": 8}},):
            cut = s.post(CHAT, ask)
            n = cut["usage"]["completion_tokens_details"]["reasoning_tokens"]
            message = cut["choices"][0]["message"]
            assert 8 <= n <= 10 and message["content"]
            assert free["choices"][0]["message"]["reasoning_content"].startswith(
                message["reasoning_content"])
        for seed in range(40):  # a thought is closed once, not again in the answer
            ask = {**HARD, "seed": seed, "temperature": 1, "max_tokens": 200,
                   "thinking": {"type": "enabled", "budget_tokens": 1 + seed % 20}}
            assert "think>" not in s.post(CHAT, ask)["choices"][0]["message"]["content"], seed
        s.post(CHAT, {**HARD, "thinking": {"type": "enabled", "budget_tokens": 0}}, 400)
        got = s.post("/v1/messages", {"max_tokens": 500, "messages": HARD["messages"], "thinking": {
            "type": "enabled", "budget_tokens": 8}})
        assert [b["type"] for b in got["content"]] == ["thinking", "text"]


def test_answers_are_continued(minke):
    """Cut anywhere and continued, an answer says what it says in one go."""
    def said(message):
        return message.get("reasoning_content", ""), message["content"]

    with Server(minke) as s:
        ask = {**ASK, "temperature": 0}
        whole = s.post(CHAT, ask)
        message = whole["choices"][0]["message"]
        assert all(said(message))
        for n in range(1, whole["usage"]["completion_tokens"]):
            begun = s.post(CHAT, {**ask, "max_tokens": n})["choices"][0]["message"]
            for last, more in (({**begun, "prefix": True}, {}), (begun, {"continue_final_message": True})):
                got = s.post(CHAT, {**ask, **more, "messages": ask["messages"] + [last]})["choices"][0]["message"]
                assert [a + b for a, b in zip(said(begun), said(got))] == list(said(message)), (n, begun, got)
                assert not begun["content"] or not got["reasoning_content"]
            blocks = [{"type": "thinking", "thinking": begun["reasoning_content"]},
                      {"type": "text", "text": begun["content"]}]
            got = s.post("/v1/messages", {"max_tokens": 200, "temperature": 0, "messages": ask["messages"] + [
                {"role": "assistant", "content": blocks}]})["content"]
            assert said(message)[1].endswith(got[-1]["text"]), (n, got)
            is_over = said(begun)[0] == said(message)[0]
            assert got[0]["type"] == ("text" if is_over else "thinking"), (n, got)
        begun = {"role": "assistant", "content": "```json\n", "prefix": True}
        got = s.post(CHAT, {**ask, "messages": ask["messages"] + [begun], "thinking": {"type": "disabled"}})
        assert set(got["choices"][0]["message"]) == {"role", "content"}
        events = list(s.stream(CHAT, {**ask, "messages": ask["messages"] + [begun]}))[:-1]
        assert not joined(events, "reasoning_content")
        user, answer = ask["messages"][0], {"role": "assistant", "content": "4"}
        call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
        for messages, more, param in (
                ([{**user, "prefix": True}], {}, "messages"),
                ([user, {**answer, "prefix": 1}], {}, "messages"),
                ([user, {**answer, "prefix": True}, user], {}, "messages"),
                ([user, {**answer, "prefix": True, "tool_calls": [call]}], {}, "messages"),
                ([user], {"continue_final_message": True}, "continue_final_message"),
                ([user, answer], {"continue_final_message": 1}, "continue_final_message"),
                ([user, {**answer, "prefix": True}], {"response_format": {"type": "json_object"}},
                 "response_format")):
            error = s.post(CHAT, {**ask, **more, "messages": messages}, 400)["error"]
            assert error["param"] == param, error
        s.post("/v1/messages", {"max_tokens": 9, "messages": [user, {"role": "assistant", "content": [
            {"type": "tool_use", "id": "x", "name": "f", "input": {}}]}]}, 400)


def test_progress_of_a_long_prompt(minke):
    with Server(minke, "-c", "8000", "-b", "64") as s:
        ask = {"messages": [{"role": "user", "content": "12 " * 400}], "max_tokens": 3}
        events = list(s.stream(CHAT, {**ask, "return_progress": True}))[:-1]
        told = [e["prompt_progress"] for e in events if not e["choices"]]
        assert len(told) > 3 and told == sorted(told, key=lambda p: p["processed"]), told
        assert all(p["processed"] <= p["total"] == events[-1]["usage"]["prompt_tokens"] for p in told)
        assert all(e["choices"] for e in s.stream(CHAT, ask) if e != "[DONE]")


def test_answer_now(minke):
    """A thought that would never end is closed by another request."""
    with Server(minke, "-c", "100000") as s:
        think = s.post("/tokenize", {"content": "</think>"})["tokens"]
        assert len(think) == 1
        ask = {**HARD, "ignore_eos": True, "logit_bias": {str(think[0]): -100}, "max_tokens": 90000}
        events = s.stream(CHAT, ask)
        for _ in range(30):
            event = next(events)
        assert s.post("/v1/chat/completions/control", {"id": event["id"], "action": "reasoning_end"}) == {
            "success": True}
        for event in events:
            if event["choices"][0]["delta"].get("content"):
                break
        else:
            raise AssertionError("no answer came")
        events.close()
        s.wait_for("num_requests_running", 0)
        s.post("/v1/chat/completions/control", {"id": event["id"], "action": "reasoning_end"}, 404)
        s.post("/v1/chat/completions/control", {"id": "x", "action": "jump"}, 400)


def test_endless_answers(minke):
    """What runs in circles is ended: the thought closed, the answer with its own reason."""
    with Server(minke, "-c", "100000") as s:
        (seven,) = s.post("/tokenize", {"content": "7"})["tokens"]
        whole = s.post(CHAT, {**HARD, "logit_bias": {str(seven): 100}})
        choice = whole["choices"][0]
        assert choice["finish_reason"] == "repetition", choice
        assert 500 < whole["usage"]["completion_tokens"] < 700
        assert set(choice["message"]["content"]) == {"7"}
        got = s.post("/v1/completions", {"prompt": "7", "logit_bias": {str(seven): 100}, "max_tokens": 999})
        assert got["choices"][0]["finish_reason"] == "length"


def test_wrong_requests_name_the_field(minke):
    bad = [({"prompt": "1", **more}, param) for more, param in (
        ({"temperature": 3}, "temperature"), ({"temperature": "hot"}, "temperature"),
        ({"top_p": -1}, "top_p"), ({"max_tokens": 0}, "max_tokens"), ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": 1e30}, "max_tokens"), ({"seed": "x"}, "seed"), ({"stop": ""}, "stop"),
        ({"stop": ["a"] * 17}, "stop"), ({"stop": [1]}, "stop"), ({"n": 2}, "n"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"), ({"logit_bias": {"1": 1e9}}, "logit_bias"),
        ({"logit_bias": {"99999999": 1}}, "logit_bias"), ({"stream": "yes"}, "stream"),
        ({"logprobs": 21}, "logprobs"), ({"prompt": []}, "prompt"), ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [-1]}, "prompt"), ({"prompt": [10 ** 7]}, "prompt"), ({"prompt": None}, "prompt"),
        ({"prompt": ["a", "b"]}, "prompt"), ({"top_k": -1}, "top_k"), ({"suffix": "x"}, "suffix"))]
    chat = [({**ASK, **more}, param) for more, param in (
        ({"messages": []}, "messages"), ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"),
        ({"top_logprobs": 3}, "top_logprobs"), ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"reasoning_effort": "much"}, "reasoning_effort"), ({"thinking": {"type": "x"}}, "thinking"),
        ({"thinking": 1}, "thinking"), ({"user_id": 5}, "user_id"))]
    with Server(minke) as s:
        for path, cases in (("/completions", bad), (CHAT, chat)):
            for body, param in cases:
                error = s.post(path, body, 400)["error"]
                assert set(error) == {"message", "type", "param", "code"}
                assert error["param"] == param, (body, error)
        for body in (b"", b"{", b"[]", b'"x"', b"nul", b'{"a":' * 70, b"[" * 100000, b"\xff\xfe",
                     b'{"prompt":"\\ud800"}', b'{"prompt":"a\\u0000b"}', b'{"prompt":1e999}'):
            assert s.request("POST", "/completions", body)[0] == 400, body[:20]
        error = s.post("/completions", {"prompt": "1 " * 5000}, 400)["error"]
        assert error["code"] == "context_length_exceeded", error
        assert s.request("POST", CHAT, json.dumps(ASK).encode(), {"Content-Type": "text/plain"})[0] == 415
        s.post(CHAT, ASK)


def test_raw_bytes(minke):
    with Server(minke, "--max-body", "2k") as s:
        for data in (b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n",
                     b"GET /health HTTP/1.1\r\n\r\n", b"POST /completions HTTP/1.1\r\nHost: localhost\r\n"
                     b"Content-Length: -5\r\n\r\n", b"GET /health HTTP/1.1\r\nHost: a\r\nHost\r\n\r\n"):
            s.raw(data + b"\r\n", 0.3)
        huge = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200000 + b"\r\n\r\n"
        assert b" 431 " in s.raw(huge).split(b"\r\n")[0] + b" "
        assert s.request("POST", CHAT, b"x" * 3000)[0] == 413
        chunked = (b"POST /completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                   b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        assert b" 413 " in s.raw(chunked + b"bb8\r\n" + b"x" * 3000 + b"\r\n0\r\n\r\n").split(b"\r\n")[0]
        body = b'{"prompt":"1","max_tokens":1}'
        got = s.raw(chunked + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 200 "), got
        one_by_one = socket.create_connection(("127.0.0.1", s.port))
        for b in b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n":
            one_by_one.sendall(bytes([b]))
        assert one_by_one.recv(100).startswith(b"HTTP/1.1 200 ")
        one_by_one.close()
        s.get("/health")


def test_who_may_ask(minke):
    with Server(minke, "--cors-origin", "https://page.example", "--name", "box.lan") as s:
        for host in ("localhost", "127.0.0.1:80", "[::1]:9", "a.localhost", "box.lan:8080", "10.0.0.1"):
            s.get("/health", 200, {"Host": host})
        for host in ("evil.example", "localhost.evil.example", "box.lan.evil"):
            s.get("/health", 403, {"Host": host})
        s.get("/health", 403, {"Origin": "http://evil.example"})
        s.get("/health", 403, {"Origin": "null"})
        s.get("/health", 200, {"Origin": f"http://127.0.0.1:{s.port}"})
        _, headers, _ = s.request("GET", "/health", None, {"Origin": "https://page.example"})
        assert headers["Access-Control-Allow-Origin"] == "https://page.example"
        status, headers, _ = s.request("OPTIONS", CHAT, None, {
            "Origin": "https://page.example", "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type"})
        assert status == 204 and headers["Access-Control-Allow-Headers"] == "authorization,content-type"
        status, headers, _ = s.request("PUT", "/health", None)
        assert status == 405 and headers["Allow"] == "GET"
        s.get("/nothing", 404)
        _, headers, _ = s.request("GET", "/health")
        assert headers["X-Request-Id"] and headers["X-Content-Type-Options"] == "nosniff"


def test_keys(minke):
    with tempfile.NamedTemporaryFile("w") as f:
        f.write("# keys\nfirst-key\n\n  second-key  \n")
        f.flush()
        os.chmod(f.name, 0o600)
        with Server(minke, "--api-key-file", f.name, env={"MINKE_API_KEY": "third"}) as s:
            s.get("/health")
            for path in ("/v1/models", "/metrics", "/props"):
                error = json.loads(s.get(path, 401))["error"]
                assert error["type"] == "authentication_error" and error["code"] == "invalid_api_key"
            for key in ("first-key", "second-key", "third"):
                s.get("/models", 200, {"Authorization": "Bearer " + key})
                s.get("/models", 200, {"x-api-key": key})
                s.get("/models", 200, {"api-key": key})
            for key in ("", "first", "first-keyx", "# keys", "x" * 5000):
                s.get("/models", 401, {"Authorization": "Bearer " + key})
            assert "first-key" not in s.logged()


def test_many_at_a_time_say_what_each_says_alone(minke):
    with Server(minke, "--parallel", "6") as s:
        asks = [{**ASK, "seed": i, "messages": [{"role": "user", "content": f"What is {i} + {3 * i}?"}]}
                for i in range(12)]
        alone = [s.post(CHAT, a)["choices"][0]["message"] for a in asks]
        got = [None] * len(asks)

        def ask(i):
            events = list(s.stream(CHAT, asks[i]))[:-1]
            got[i] = (joined(events, "content"), joined(events, "reasoning_content"))
        threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(asks))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert got == [(m["content"], m["reasoning_content"]) for m in alone]


def test_guesses_change_nothing(minke):
    """The same bytes however tokens are guessed: thoughts, budgets, log probabilities, experts,
    shapes, stops, many at a time."""
    sums = [{**ASK, "seed": i, "cache_prompt": False, "temperature": i % 2, "messages": [
        {"role": "user", "content": f"Multiply {23 + i} by {47 + i}."}]} for i in range(4)]
    schema = {"type": "array", "items": {"type": "integer"}, "minItems": 5, "maxItems": 9}
    asks = sums + [
        {**sums[1], "logprobs": True, "top_logprobs": 3, "return_experts": True},
        {**sums[2], "thinking": {"type": "enabled", "budget_tokens": 23}, "logprobs": True},
        {**sums[3], "stop": ["0", "so 1"]}, {**sums[3], "max_tokens": 31},
        {**sums[1], "frequency_penalty": 0.5, "presence_penalty": 0.2},
        {**sums[1], "thinking": {"type": "disabled"}, "response_format": {
            "type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}]
    varies = "id", "created", "timings"

    def answers(*options):
        with Server(minke, *options) as s:
            got = [None] * len(asks)

            def ask(i):
                got[i] = s.post(CHAT, asks[i])
            for i in range(len(asks)):
                ask(i)
            alone = [{k: v for k, v in a.items() if k not in varies} for a in got]
            draft = [a["timings"].get("draft_n", 0) for a in got]
            right = [a["timings"].get("draft_n_accepted", 0) for a in got]
            assert all(r <= d for r, d in zip(right, draft))
            threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(asks))]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            assert alone == [{k: v for k, v in a.items() if k not in varies} for a in got]
            assert s.metric("spec_decode_num_draft_tokens_total") >= sum(draft)
            return alone, sum(draft)
    plain, n = answers("--speculate", "off")
    assert n == 0
    for options in (["ngram"], ["mtp"], ["auto", "--draft-max", "3"],
                    ["draft", "--draft-model", "tiny"]):
        got, n = answers("--speculate", *options)
        assert n > 0, options
        assert got == plain, options


def test_what_is_known_is_not_read_again(minke):
    with Server(minke) as s:
        first = s.post(CHAT, ASK)["choices"][0]["message"]
        turns = ASK["messages"] + [first, {"role": "user", "content": "And 3 + 4?"}]
        usage = s.post(CHAT, {**ASK, "messages": turns})["usage"]
        assert usage["prompt_cache_hit_tokens"] > 10, usage
        assert usage["prompt_tokens_details"]["cached_tokens"] == usage["prompt_cache_hit_tokens"]
        other = s.post(CHAT, {**ASK, "messages": turns, "user_id": "other"})["usage"]
        assert other["prompt_cache_hit_tokens"] == 0, other


def test_what_is_being_computed_is_shared(minke):
    with Server(minke, "-c", "30000") as s:
        start = "12 + 3 = 15. " * 40
        running = s.stream("/completions", {"prompt": start + "1", "ignore_eos": True})
        next(running)
        n = len(s.post("/tokenize", {"content": start})["tokens"])
        usage = s.post("/completions", {"prompt": start + "22", "max_tokens": 1})["usage"]
        assert n - 2 <= usage["prompt_cache_hit_tokens"] <= n + 2, (n, usage)
        alone = s.post("/completions", {"prompt": start + "22", "max_tokens": 8, "seed": 2})
        running.close()
        s.wait_for("num_requests_running", 0)
    with Server(minke, "-c", "30000") as s:
        fresh = s.post("/completions", {"prompt": start + "22", "max_tokens": 8, "seed": 2})
        assert fresh["choices"][0]["text"] == alone["choices"][0]["text"]


def canceled(s):
    return s.metric('request_success_total{finished_reason="cancel"}')


def test_clients_that_go_away(minke):
    with Server(minke, "-c", "30000", "--parallel", "1") as s:
        reading = s.stream("/completions", LONG)
        next(reading)
        waiting = socket.create_connection(("127.0.0.1", s.port))
        body = json.dumps({**LONG, "stream": True}).encode()
        waiting.sendall(b"POST /completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
                        b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        s.wait_for("num_requests_waiting", 1)
        waiting.close()  # in the queue
        s.wait_for("num_requests_waiting", 0)
        reading.close()  # in the middle of its stream
        s.wait_for("num_requests_running", 0)
        assert canceled(s) == 1
        whole = socket.create_connection(("127.0.0.1", s.port))
        body = json.dumps(LONG).encode()
        whole.sendall(b"POST /completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
                      b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        s.wait_for("num_requests_running", 1)
        whole.close()  # before a whole answer
        s.wait_for("num_requests_running", 0)
        assert canceled(s) == 2
        s.post(CHAT, ASK)


def test_a_closed_sending_half(minke):
    """A client may close it once its request is out, and still gets a whole answer."""
    with Server(minke) as s:
        def ask(got):
            for _ in range(60):
                with socket.create_connection(("127.0.0.1", s.port), timeout=20) as c:
                    c.sendall(request_bytes("POST", CHAT, ASK))
                    c.shutdown(socket.SHUT_WR)
                    got.append(b"".join(iter(lambda c=c: c.recv(65536), b"")))
        got = []
        threads = [threading.Thread(target=ask, args=(got,)) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        bad = [g for g in got if not g.startswith(b"HTTP/1.1 200 ") or b'"finish_reason":"stop"' not in g]
        assert len(got) == 480 and not bad, bad


def test_more_than_the_queue_holds(minke):
    with Server(minke, "-c", "30000", "--parallel", "1", "--queue", "1") as s:
        running = s.stream("/completions", LONG)
        next(running)
        waiting = threading.Thread(target=lambda: s.post("/completions", {"prompt": "1", "max_tokens": 1}))
        waiting.start()
        s.wait_for("num_requests_waiting", 1)
        status, headers, text = s.request("POST", "/completions", {"prompt": "1"})
        assert status == 429 and headers["Retry-After"] == "1", (status, text)
        assert json.loads(text)["error"]["type"] == "rate_limit_error"
        running.close()
        waiting.join()


def test_a_slow_reader_stalls_nobody(minke):
    with Server(minke, "-c", "30000") as s:
        slow = socket.create_connection(("127.0.0.1", s.port))
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = json.dumps({**LONG, "stream": True, "max_tokens": 20000}).encode()
        slow.sendall(b"POST /completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
                     b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        s.wait_for("num_requests_running", 1)
        start = time.monotonic()
        for _ in range(3):
            s.post(CHAT, ASK)
        assert time.monotonic() - start < 10
        slow.close()


def test_a_whole_answer_is_kept_alive(minke):
    """Blanks come before the JSON of an answer that takes long."""
    with Server(minke, "-c", "120000", "-t", "1") as s:
        c = s.connect()
        c.request("POST", "/completions", json.dumps({**LONG, "max_tokens": 100000}), JSON)
        r = c.getresponse()
        assert r.status == 200 and r.headers["Transfer-Encoding"] == "chunked"
        assert r.read(1) == b"\n"
        c.close()
        s.wait_for("num_requests_running", 0)


def test_stopping_lets_answers_end(minke):
    s = Server(minke, "-c", "30000", "--drain", "60")
    events = s.stream("/completions", {**LONG, "max_tokens": 1000})
    next(events)
    s.process.terminate()
    rest = list(events)
    assert rest[-1] == "[DONE]" and rest[-2]["usage"]["completion_tokens"] == 1000
    assert s.process.wait(20) == 0
    s = Server(minke, "-c", "30000", "--drain", "0")
    events = s.stream("/completions", LONG)
    next(events)
    s.process.terminate()
    rest = list(events)
    assert "stopping" in rest[-1]["error"]["message"], rest[-1]
    assert s.process.wait(20) == 0


def test_stopping_frees_the_port_at_once(minke):
    """Nobody listens there any more, and somebody else may, while an answer still runs."""
    s = Server(minke, "-c", "120000", "-t", "1", "--drain", "60")
    events = s.stream("/completions", LONG)
    next(events)
    s.process.terminate()
    time.sleep(1)
    try:
        s.connect().connect()
        assert False, "a server that stops lets clients in"
    except ConnectionRefusedError:
        pass
    socket.create_server(("127.0.0.1", s.port)).close()
    next(events)
    events.close()
    assert s.process.wait(20) == 0


def test_a_body_that_comes_while_it_stops(minke):
    """A client that does not read holds up the end; others may still be sending."""
    path = os.path.join(tempfile.mkdtemp(), "minke.sock")  # has a small buffer
    with Server(minke, "-c", "100000", "--host", "unix:" + path, "--drain", "0") as s:
        head = (b"POST /completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n")
        slow, late = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        body = json.dumps({**LONG, "stream": True, "logprobs": 20}).encode()
        for c in slow, late:
            c.connect(path)
            c.sendall(head % len(body))
        slow.sendall(body)
        s.wait_for("num_requests_running", 1)
        wait_until_full([slow])
        s.process.terminate()
        time.sleep(0.5)
        late.sendall(body)
        late.settimeout(10)
        assert late.recv(100).startswith(b"HTTP/1.1 503 ")
        assert s.process.wait(20) == 0
        slow.close()
        late.close()


def test_rights_are_given_up(minke):
    if "--no-sandbox" in MORE:
        print("skip the sandbox: --no-sandbox is given")
        return
    for option, mode in ((), "2"), (("--no-sandbox",), "0"):
        with Server(minke, *option) as s:
            s.post(CHAT, ASK)
            with open(f"/proc/{s.process.pid}/status", encoding="ascii") as f:
                status = dict(line.split(":", 1) for line in f)
            if "not confined" in s.logged():
                print("skip the sandbox: this kernel cannot")
                return
            assert status["Seccomp"].strip() == mode and status["NoNewPrivs"].strip() == str(int(not option))


def test_whoever_started_it_is_told(minke):
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX,
                                                                socket.SOCK_DGRAM) as told:
        path = os.path.join(folder, "notify")
        told.bind(path)
        told.settimeout(10)
        with Server(minke, env={"NOTIFY_SOCKET": path}) as s:
            assert told.recv(100) == b"READY=1"
            s.get("/health")
        assert told.recv(100) == b"STOPPING=1"
    with Server(minke, env={"NOTIFY_SOCKET": "nonsense"}) as s:
        s.get("/health")


def test_a_unix_socket(minke):
    path = os.path.join(tempfile.mkdtemp(), "minke.sock")
    with Server(minke, "--host", "unix:" + path) as s:
        assert os.stat(path).st_mode & 0o777 == 0o600
        with socket.socket(socket.AF_UNIX) as u:
            u.connect(path)
            u.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert u.recv(100).startswith(b"HTTP/1.1 200 ")
        s.stop()
    assert not os.path.exists(path)


def test_tls(minke):
    if not shutil.which("openssl"):
        print("skip TLS: there is no openssl")
        return
    folder = tempfile.mkdtemp()
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], check=True,
                   capture_output=True)
    with Server(minke, "--tls-cert", cert, "--tls-key", key) as s:
        trusted = ssl.create_default_context(cafile=cert)
        c = http.client.HTTPSConnection("127.0.0.1", s.port, context=trusted, timeout=20)
        c.request("POST", CHAT, json.dumps({**ASK, "stream": True}), JSON)
        assert c.getresponse().read().endswith(b"data: [DONE]\n\n")
        c.close()
        assert not s.raw(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 1).startswith(b"HTTP")


if __name__ == "__main__":
    run([f for name, f in list(globals().items()) if name.startswith("test_")],
        os.path.realpath(sys.argv[1]))
