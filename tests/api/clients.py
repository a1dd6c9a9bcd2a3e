"""The official Python clients of OpenAI and Anthropic against a minke server."""
import json
import os
import re
import subprocess
import sys
import threading

import anthropic
import openai

from server import Server, run

ASK = [{"role": "user", "content": "What is 12 + 29?"}]
COLD = {"extra_body": {"temperature": 0}}


def test_openai(minke):
    with Server(minke) as s:
        c = openai.OpenAI(base_url=f"http://127.0.0.1:{s.port}/v1", api_key="none", max_retries=0)
        assert c.models.list().data[0].id == "tiny"
        whole = c.chat.completions.create(model="tiny", messages=ASK, seed=7)
        message = whole.choices[0].message
        assert whole.choices[0].finish_reason == "stop" and message.reasoning_content
        text = thought = ""
        for chunk in c.chat.completions.create(model="tiny", messages=ASK, seed=7, stream=True):
            delta = chunk.choices[0].delta
            text += delta.content or ""
            thought += getattr(delta, "reasoning_content", None) or ""
        assert (text, thought) == (message.content, message.reasoning_content)
        assert chunk.usage.total_tokens == whole.usage.total_tokens
        with c.chat.completions.stream(model="tiny", messages=ASK, seed=7) as stream:
            for _ in stream:
                pass
            assert stream.get_final_completion().choices[0].message.content == text
        off = c.chat.completions.create(model="tiny", messages=ASK, max_tokens=5,
                                        extra_body={"thinking": {"type": "disabled"}})
        assert not getattr(off.choices[0].message, "reasoning_content", None)
        done = c.completions.create(model="tiny", prompt="1+1=", max_tokens=3, logprobs=2)
        assert len(done.choices[0].logprobs.tokens) == 3
        try:
            c.chat.completions.create(model="tiny", messages=ASK, temperature=9)
            raise AssertionError("temperature 9 was taken")
        except openai.BadRequestError as e:
            assert e.param == "temperature", e
        try:
            c.models.retrieve("none")
            raise AssertionError("model none was found")
        except openai.NotFoundError:
            pass


def test_openai_responses(minke):
    with Server(minke) as s:
        c = openai.OpenAI(base_url=f"http://127.0.0.1:{s.port}/v1", api_key="none", max_retries=0)
        ask = {"model": "tiny", "instructions": "Be brief.", "input": ASK, **COLD}
        whole = c.responses.create(**ask)
        assert [i.type for i in whole.output] == ["reasoning", "message"]
        assert whole.status == "completed" and whole.output_text
        assert whole.usage.output_tokens_details.reasoning_tokens > 0
        text, kinds = "", []
        with c.responses.stream(**ask) as stream:
            for event in stream:
                kinds.append(event.type)
                assert event.sequence_number == len(kinds) - 1
                if event.type == "response.output_text.delta":
                    text += event.delta
            final = stream.get_final_response()
        assert text == whole.output_text == final.output_text
        assert kinds[:2] == ["response.created", "response.in_progress"]
        assert kinds[-1] == "response.completed"
        cut = c.responses.create(**ask, max_output_tokens=3)
        assert cut.status == "incomplete" and cut.incomplete_details.reason == "max_output_tokens"
        turns = ASK + [i.model_dump() for i in whole.output] + [{"role": "user", "content": "And 3 + 4?"}]
        again = c.responses.create(model="tiny", input=turns, instructions="Be brief.")
        assert again.usage.input_tokens_details.cached_tokens > 10


ADD = {"name": "add", "description": "Adds.", "parameters": {
    "type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"], "additionalProperties": False}}


def test_openai_tools(minke):
    """A call, its result, and the answer after it."""
    with Server(minke, "-c", "4000") as s:
        c = openai.OpenAI(base_url=f"http://127.0.0.1:{s.port}/v1", api_key="none", max_retries=0)
        tools = [{"type": "function", "function": ADD}]
        first = c.chat.completions.create(model="tiny", messages=ASK, tools=tools,
                                          tool_choice="required", parallel_tool_calls=False)
        message = first.choices[0].message
        (call,) = message.tool_calls
        assert first.choices[0].finish_reason == "tool_calls" and call.function.name == "add"
        assert set(json.loads(call.function.arguments)) == {"a", "b"}
        second = c.chat.completions.create(model="tiny", tools=tools, tool_choice="none", messages=[
            *ASK, message, {"role": "tool", "tool_call_id": call.id, "content": "41"}])
        assert second.choices[0].message.content and not second.choices[0].message.tool_calls
        with c.chat.completions.stream(model="tiny", messages=ASK, tools=tools,
                                       tool_choice="required") as stream:
            for _ in stream:
                pass
            assert stream.get_final_completion().choices[0].message.tool_calls
        shaped = c.chat.completions.create(model="tiny", messages=ASK, response_format={
            "type": "json_schema", "json_schema": {"name": "x", "strict": True,
                                                   "schema": ADD["parameters"]}})
        assert set(json.loads(shaped.choices[0].message.content)) == {"a", "b"}


def test_retries(minke):
    """A client that is told to wait comes again, and gets its answer."""
    with Server(minke, "-c", "30000", "--parallel", "1", "--queue", "1") as s:
        running = s.stream("/completions", {"prompt": "1", "ignore_eos": True})
        next(running)
        waiting = threading.Thread(target=lambda: s.post("/completions", {"prompt": "1", "max_tokens": 1}))
        waiting.start()
        s.wait_for("num_requests_waiting", 1)
        threading.Timer(1, running.close).start()
        c = openai.OpenAI(base_url=f"http://127.0.0.1:{s.port}/v1", api_key="none", max_retries=5)
        assert c.completions.create(model="tiny", prompt="1", max_tokens=1).choices
        waiting.join()
        assert s.logged().count(" 429 ") >= 1


def blocks(document, language=""):
    """The code blocks of a document, with the server's address in place of the printed one."""
    root = os.path.join(os.path.dirname(__file__), "..", "..")
    with open(os.path.join(root, document), encoding="utf-8") as f:
        return re.findall(rf"^```{language}\n(.*?)^```$", f.read(), re.M | re.S)


def check_quick_start(minke, document):
    """The server, the curl line, the page and the Python client, as printed."""
    (block,) = [b for b in blocks(document) if "curl " in b]
    serve, curl = block.split("\n", 1)[0].split("#")[0].split(), block[block.index("curl "):]
    assert [os.path.basename(serve[0]), serve[1]] == ["minke", "serve"], serve
    (program,) = blocks(document, "python")
    with Server(minke, *serve[2:]) as s:
        here = lambda text: text.replace("127.0.0.1:8080", f"127.0.0.1:{s.port}")
        assert here(curl) != curl and here(program) != program
        done = subprocess.run(["sh", "-c", here(curl)], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["choices"][0]["message"]["content"], done
        assert b"<title>" in s.get("/")
        done = subprocess.run([sys.executable, "-c", here(program)], capture_output=True, text=True,
                              check=True)
        assert len(done.stdout) > 3, done


def test_what_the_documents_say(minke):
    check_quick_start(minke, "README.md")
    check_quick_start(minke, "docs/serve.md")


def test_openai_embeddings(minke):
    """Asked for in base64, as it does unless it is told otherwise."""
    with Server(minke) as s:
        c = openai.OpenAI(base_url=f"http://127.0.0.1:{s.port}/v1", api_key="none", max_retries=0)
        texts = ["What is 12 + 29?", "pear, apple"]
        binary = c.embeddings.create(model="tiny", input=texts).data
        plain = c.embeddings.create(model="tiny", input=texts, encoding_format="float").data
        for b, p in zip(binary, plain, strict=True):
            assert abs(sum(x * x for x in b.embedding) - 1) < 1e-5
            assert all(abs(x - y) < 1e-6 for x, y in zip(b.embedding, p.embedding, strict=True))


def test_openai_gives_up(minke):
    """Leaving a stream cancels it."""
    with Server(minke, "-c", "30000") as s:
        c = openai.OpenAI(base_url=f"http://127.0.0.1:{s.port}/v1", api_key="none", max_retries=0)
        stream = c.completions.create(model="tiny", prompt="1", stream=True,
                                      extra_body={"ignore_eos": True})
        next(iter(stream))
        stream.close()
        s.wait_for("num_requests_running", 0)


def test_openai_keys(minke):
    with Server(minke, env={"MINKE_API_KEY": "secret"}) as s:
        url = f"http://127.0.0.1:{s.port}"
        assert openai.OpenAI(base_url=url, api_key="secret").models.list().data
        try:
            openai.OpenAI(base_url=url, api_key="wrong", max_retries=0).models.list()
            raise AssertionError("a wrong key was taken")
        except openai.AuthenticationError:
            pass


def test_anthropic(minke):
    with Server(minke, "-c", "4000") as s:
        c = anthropic.Anthropic(base_url=f"http://127.0.0.1:{s.port}", api_key="none", max_retries=0)
        n = c.messages.count_tokens(model="tiny", messages=ASK).input_tokens
        whole = c.messages.create(model="tiny", max_tokens=200, messages=ASK, **COLD)
        thought, text = whole.content
        assert thought.type == "thinking" and thought.signature and text.type == "text"
        assert whole.stop_reason == "end_turn"
        usage = whole.usage
        assert usage.input_tokens + usage.cache_read_input_tokens == n
        with c.messages.stream(model="tiny", max_tokens=200, messages=ASK, **COLD) as stream:
            assert "".join(stream.text_stream) == text.text
            final = stream.get_final_message()
        assert [b.type for b in final.content] == ["thinking", "text"]
        assert final.content[0].thinking == thought.thinking
        assert final.usage.output_tokens == usage.output_tokens
        cut = c.messages.create(model="tiny", max_tokens=3, messages=ASK, system="Be brief.")
        assert cut.stop_reason == "max_tokens"
        stopped = c.messages.create(model="tiny", max_tokens=200, messages=ASK, **COLD,
                                    stop_sequences=[thought.thinking[5:8]])
        assert stopped.stop_reason == "stop_sequence"
        assert stopped.stop_sequence == thought.thinking[5:8]
        turns = ASK + [{"role": "assistant", "content": [b.model_dump() for b in whole.content]},
                       {"role": "user", "content": [{"type": "text", "text": "And 3 + 4?"}]}]
        again = c.messages.create(model="tiny", max_tokens=200, messages=turns)
        assert again.usage.cache_read_input_tokens > 10
        called = c.messages.create(model="tiny", max_tokens=500, messages=ASK, tools=[
            {"name": "add", "input_schema": ADD["parameters"]}], tool_choice={"type": "any"})
        assert called.stop_reason == "tool_use" and set(called.content[-1].input) == {"a", "b"}
        turns = ASK + [{"role": "assistant", "content": [b.model_dump() for b in called.content]},
                       {"role": "user", "content": [{
                           "type": "tool_result", "tool_use_id": called.content[-1].id,
                           "content": [{"type": "text", "text": "41"}]}]}]
        assert c.messages.create(model="tiny", max_tokens=500, messages=turns).content
        try:
            c.messages.create(model="tiny", max_tokens=9, messages=[{"role": "user", "content": 5}])
            raise AssertionError("content 5 was taken")
        except anthropic.BadRequestError as e:
            assert e.body["error"]["type"] == "invalid_request_error"


if __name__ == "__main__":
    run([f for name, f in list(globals().items()) if name.startswith("test_")],
        os.path.realpath(sys.argv[1]))
