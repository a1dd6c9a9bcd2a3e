"""The official Python clients of OpenAI and Anthropic against a minke server."""
import os
import sys

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
    with Server(minke) as s:
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
        try:
            c.messages.create(model="tiny", max_tokens=9, messages=[{"role": "user", "content": 5}])
            raise AssertionError("content 5 was taken")
        except anthropic.BadRequestError as e:
            assert e.body["error"]["type"] == "invalid_request_error"


if __name__ == "__main__":
    run([f for name, f in list(globals().items()) if name.startswith("test_")],
        os.path.realpath(sys.argv[1]))
