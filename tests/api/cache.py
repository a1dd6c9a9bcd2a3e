"""What was read once is not read again: across requests, conversations, tools and restarts, and never
across users."""
import json
import os
import subprocess
import sys
import tempfile

from server import Server, run

CHAT = "/v1/chat/completions"
PLAIN = {"thinking": {"type": "disabled"}, "temperature": 0, "max_tokens": 24}
SURE = "What is 12 + 29?"  # answered alike however its tokens were computed
LONG = "Add these up: " + " + ".join(str(3 * i) for i in range(60))


def ask(text, **more):
    return {**PLAIN, "messages": [{"role": "user", "content": text}], **more}


def usage(answer):
    u = answer["usage"]
    assert u["prompt_tokens_details"]["cached_tokens"] == u["prompt_cache_hit_tokens"]
    return u["prompt_tokens"], u["completion_tokens"], u["prompt_cache_hit_tokens"]


def text(answer):
    return answer["choices"][0]["message"]["content"]


def test_others_in_between(minke):
    with Server(minke, "--parallel", "1") as s, Server(minke, "--cache-ram", "0") as none:
        first = s.post(CHAT, ask(LONG))
        n, _, cached = usage(first)
        assert n > 150 and cached == 0
        s.post(CHAT, ask("Sort 3, 1, 2."))
        again = s.post(CHAT, ask(LONG))
        assert usage(again)[2] == n - 1, again["usage"]
        half = s.post(CHAT, ask(LONG[:len(LONG) // 2] + "?"))
        assert n // 2 - 20 < usage(half)[2] < n // 2 + 20
        anew = s.post(CHAT, ask(LONG, cache_prompt=False))
        assert usage(anew)[2] == 0
        assert text(first) == text(anew) == text(none.post(CHAT, ask(LONG)))
        assert s.metric("prefix_cache_blocks") > 2


def test_owners_share_nothing(minke):
    with Server(minke, "--parallel", "1", env={"MINKE_API_KEY": "one\ntwo"}) as s:
        def cached(key, **more):
            answer = s.post(CHAT, ask(LONG, **more), headers={"Authorization": f"Bearer {key}"})
            return usage(answer)[2]
        assert cached("one") == 0
        assert cached("two") == 0
        assert cached("one", user_id="a") == 0
        assert cached("one", user_id="b") == 0
        assert cached("one") > 100 and cached("two") > 100 and cached("one", user_id="a") > 100


def test_next_turns_read_only_what_is_new(minke):
    """At a high temperature the model's tokens are often not those that its text has."""
    with Server(minke, "--parallel", "2") as s:
        for seed in range(6):
            messages, known = [], 0
            for turn in range(4):
                messages.append({"role": "user", "content": f"What is {seed + 20} + {turn + 31}?"})
                answer = s.post(CHAT, {**PLAIN, "messages": messages, "temperature": 1.8,
                                       "max_tokens": 60, "seed": seed})
                n, made, cached = usage(answer)
                assert cached >= known - 1, (seed, turn, cached, known)
                known = n + made
                if "think>" in text(answer):
                    break  # templates drop what looks like a thought
                messages.append({"role": "assistant", "content": text(answer)})


TOOL = {"name": "weather", "description": "Weather of a place", "parameters": {
    "type": "object", "required": ["place", "days"], "additionalProperties": False, "properties": {
        "place": {"type": "string", "enum": ["Oslo", "Rome"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9}}}}


def test_a_tools_result_reads_only_itself(minke):
    """Clients parse the arguments and write them anew."""
    with Server(minke, "--template", "deepseek-v3.1", "--parallel", "1") as s:
        body = {**PLAIN, "max_tokens": 200, "tools": [{"type": "function", "function": TOOL}],
                "messages": [{"role": "user", "content": "How is the weather in Oslo?"}]}
        first = s.post(CHAT, {**body, "tool_choice": "required", "parallel_tool_calls": False})
        message = first["choices"][0]["message"]
        n, made, _ = usage(first)
        for separators in ((",", ":"), (" , ", " :  ")):
            call = json.loads(json.dumps(message["tool_calls"][0]))
            arguments = json.loads(call["function"]["arguments"])
            call["function"]["arguments"] = json.dumps(arguments, separators=separators)
            turns = [*body["messages"],
                     {"role": "assistant", "content": message["content"], "tool_calls": [call]},
                     {"role": "tool", "tool_call_id": call["id"], "content": "2 degrees"}]
            after = s.post(CHAT, {**body, "messages": turns})
            assert usage(after)[2] >= n + made - 8, (usage(after), n, made)
        arguments["days"] = arguments["days"] % 9 + 1
        call["function"]["arguments"] = json.dumps(arguments)
        changed = s.post("/apply-template", {"messages": turns, "tools": body["tools"]})["prompt"]
        assert f'{arguments["days"]}' in changed


def test_anthropics_tools_too(minke):
    with Server(minke, "--template", "deepseek-v3.1", "--parallel", "1") as s:
        body = {"max_tokens": 200, "temperature": 0, "thinking": {"type": "disabled"},
                "tools": [{"name": TOOL["name"], "description": TOOL["description"],
                           "input_schema": TOOL["parameters"]}],
                "messages": [{"role": "user", "content": "How is the weather in Oslo?"}]}
        first = s.post("/v1/messages", {**body, "tool_choice": {"type": "tool", "name": "weather"}})
        call = first["content"][-1]
        assert call["type"] == "tool_use" and first["stop_reason"] == "tool_use"
        turns = [*body["messages"], {"role": "assistant", "content": first["content"]},
                 {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"],
                                               "content": "2 degrees"}]}]
        after = s.post("/v1/messages", {**body, "messages": turns})["usage"]
        known = first["usage"]["input_tokens"] + first["usage"]["output_tokens"]
        assert after["cache_read_input_tokens"] >= known - 8, (after, known)


def wait_written(s):
    """Until everything in memory is in files too."""
    s.wait_for("num_requests_running", 0)
    s.wait_for("prefix_cache_unwritten_blocks", 0)


def test_restarts_and_kills(minke):
    with tempfile.TemporaryDirectory() as top:
        folder = os.path.join(top, "cache")
        key = {"user_id": "a"}
        with Server(minke, "--cache-dir", folder) as s:
            n, _, _ = usage(s.post(CHAT, ask(LONG, **key)))
            want = text(s.post(CHAT, ask(SURE, **key)))
            assert s.stop() == 0
        s = Server(minke, "--cache-dir", folder)
        try:
            assert s.metric("prefix_cache_files") > 2
            answer = s.post(CHAT, ask(LONG, **key))
            assert usage(answer)[2] == n - 1
            answer = s.post(CHAT, ask(SURE, **key))
            assert text(answer) == want
            assert usage(s.post(CHAT, ask(LONG, user_id="b")))[2] == 0
            s.post(CHAT, ask("Again: " + LONG, **key))
            wait_written(s)
        finally:
            s.process.kill()
            s.process.wait()
        with Server(minke, "--cache-dir", folder) as s:
            assert usage(s.post(CHAT, ask("Again: " + LONG, **key)))[2] > n - 8
            other = subprocess.run([minke, "serve", "--port", "0", "--cache-dir", folder],
                                   capture_output=True, text=True, check=False, timeout=20)
            assert other.returncode and folder in other.stderr, other
        assert os.stat(folder).st_mode & 0o777 == 0o700
        assert all(os.stat(os.path.join(folder, f)).st_mode & 0o077 == 0
                   for f in os.listdir(folder) if f.endswith((".kv", "key")))


def test_damaged_files_are_read_anew(minke):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o700)
        with Server(minke, "--cache-dir", folder) as s:
            want = text(s.post(CHAT, ask(LONG)))
        blocks = [os.path.join(folder, f) for f in os.listdir(folder) if f.endswith(".kv")]
        for path in blocks:
            with open(path, "r+b") as f:
                f.seek(1000)
                f.write(b"damage")
        with Server(minke, "--cache-dir", folder) as s:
            answer = s.post(CHAT, ask(LONG))
            assert usage(answer)[2] == 0 and text(answer) == want
            assert s.metric("prefix_cache_bad_files_total") >= 1


def test_limits(minke):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o700)
        with Server(minke, "--cache-dir", folder, "--cache-size", "1M", "--cache-ram", "1M") as s:
            for i in range(30):
                s.post(CHAT, {**ask(f"{i}: " + LONG), "max_tokens": 2})
            assert 0 < s.metric("prefix_cache_bytes") <= 1 << 20
            s.stop()
        size = sum(os.stat(os.path.join(folder, f)).st_size for f in os.listdir(folder))
        assert 500000 < size < (1 << 20) + 1000, size


if __name__ == "__main__":
    run([v for k, v in list(globals().items()) if k.startswith("test_")], sys.argv[1])
