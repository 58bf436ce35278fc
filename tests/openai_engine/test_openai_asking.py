"""What is asked, in which order answers come back, and what is made of them."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest
from openai_engine_server import OpenAIServer, share
from openai_engine_world import MODEL, engine, prompts, questions, rendered
from tiny_models import byte_bpe, llama_config, tokenizer_of

from salmon_core.api import PrefixRequest, Sampling
from salmon_core.errors import SalmonError
from salmon_openai.choosing import Silence, exactly, vote
from salmon_openai.codecs import messages_of

SAMPLING = Sampling(temperature=0.8, top_p=0.9, max_new_tokens=8, samples=3, stop=("tree",), seed=4)


def test_samples_come_in_order_with_seeds_of_their_own() -> None:
    with OpenAIServer() as server, engine(server.url).sampler(MODEL) as model:
        asked = rendered(engine(server.url), prompts(4))
        found = model.sample(asked, SAMPLING)
        again = model.sample(asked[::-1], SAMPLING)
    assert [(each.prompt_id, each.index) for each in found] == [(f"p{n}", i) for n in range(4) for i in range(3)]
    by_name = {(each.prompt_id, each.index): each for each in found}
    assert all(each == by_name[each.prompt_id, each.index] for each in again)
    assert len({each.text for each in found}) > 6
    assert {each.stopped for each in found} == {True, False}
    for each in found:
        assert each.stopped == (each.token_ids[-1] == model.codec.eos_id)
        assert model.codec.decode(each.token_ids, skip_special=True) == each.text
        assert "tree" not in each.text
    body = server.bodies[0]
    seeds = {each.pop("seed") for each in server.bodies}
    assert len(seeds) == 12
    wanted = {"model": "served", "temperature": 0.8, "top_p": 0.9, "max_tokens": 8, "stop": ["tree"]}
    assert {key: value for key, value in body.items() if key not in ("seed", "messages")} == wanted
    assert [set(each) for each in body["messages"]] == [{"role", "content"}]


def test_stop_strings_beyond_those_that_the_api_takes_cut_as_well() -> None:
    stop = ("1", "2", "3", "4", "e")
    with OpenAIServer() as server, engine(server.url).sampler(MODEL) as model:
        found = model.sample(rendered(engine(server.url), prompts(2)), Sampling(stop=stop))
        assert server.bodies[0]["stop"] == ["1", "2", "3", "4"]
    assert all(each.stopped and "e" not in each.text for each in found)


def test_extra_adds_keys_and_null_leaves_them_out() -> None:
    with OpenAIServer() as server:
        made = engine(server.url, extra={"top_k": 5, "seed": None, "temperature": 0.1})
        with made.sampler(MODEL) as model:
            model.sample(rendered(made, prompts(1)), SAMPLING)
        assert all("seed" not in each and each["top_k"] == 5 for each in server.bodies)
        # Without a seed the samples are told apart all the same.
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        ({"text": "A word", "finish_reason": "content_filter"}, "content filter held it back"),
        ({"text": None, "finish_reason": "stop"}, "the reply has no text"),
        ({"text": "", "finish_reason": "tool_calls"}, "finish_reason is 'tool_calls'"),
        ({"text": "A word", "finish_reason": None}, "finish_reason is None"),
    ],
)
def test_no_text_is_invented(choice: dict[str, str | None], why: str) -> None:
    with (
        OpenAIServer(says={"number 1?": choice}) as server,
        engine(server.url).sampler(MODEL) as model,
        pytest.raises(SalmonError, match=why) as caught,
    ):
        model.sample(rendered(engine(server.url), prompts(3)), SAMPLING)
    assert "sample 0 of prompt p1" in str(caught.value)
    assert server.url in str(caught.value)
    assert caught.value.hint


def test_log_probabilities_are_those_of_the_choices() -> None:
    with OpenAIServer() as server, engine(server.url).chooser(MODEL) as model:
        requests = questions(engine(server.url), 5)
        found = model.choose(requests, ("a", "b"))
    for request, pairs in zip(requests, found, strict=True):
        for text, (a, b) in zip(request.texts, pairs, strict=True):
            p = 0.9 * share(messages_of(text))
            assert math.isclose(a, math.log(p)), "with and without a space, the choice is the same"
            assert math.isclose(b, math.log(0.9 - p))
    assert server.bodies[-1]["messages"][-1] == {"role": "assistant", "content": "The answer:\n"}
    assert all(each["max_tokens"] == 1 for each in server.bodies)


def test_a_choice_that_is_not_listed_has_the_least_as_its_bound(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "salmon")
    with OpenAIServer() as server, engine(server.url).chooser(MODEL) as model:
        pairs = model.choose([PrefixRequest("unlisted", ("",))], ("a", "b"))[0]
        assert not caplog.records
        none = model.choose([PrefixRequest("unlisted", ("", " either"))], ("x", "y"))[0]
    assert pairs == [(math.log(0.06), math.log(0.04))]
    assert none == [(math.log(0.04), math.log(0.04))] * 2
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "for 2 of 2 texts neither choice is among the likeliest tokens, so nothing is known of them"
    ]
    assert (model.silence.texts, model.silence.unlisted) == (3, 2)


def test_tokens_are_known_by_their_text_or_their_id() -> None:
    names = (frozenset({"a", "token_id:7"}), frozenset({"b", "token_id:8"}))
    silence = Silence()
    assert exactly((("token_id:7", -0.5), (" b", -1.0), ("b", -2.0)), names, silence) == (-0.5, -2.0)
    assert exactly((("token_id:71", -0.5), ("b", -3.0), (" a", -4.0)), names, silence) == (-4.0, -3.0)
    assert silence.unlisted == 0
    assert exactly((("x", -0.5), (" a", -4.0)), names, silence) == (-4.0, -4.0)
    assert silence.unlisted == 1


def test_fewer_alternatives_are_asked_for_where_many_are_refused() -> None:
    with OpenAIServer(most_top=5) as server, engine(server.url).chooser(MODEL) as model:
        model.choose(questions(engine(server.url), 3), ("a", "b"))
        assert [each["top_logprobs"] for each in server.bodies] == [20, 5, 5, 5, 5, 5, 5, 5]


@pytest.mark.parametrize("how", ["drop", "refuse"])
def test_votes_where_there_are_no_log_probabilities(how: str, caplog: pytest.LogCaptureFixture) -> None:
    with OpenAIServer(logprobs=how) as server, engine(server.url, votes=40).chooser(MODEL) as model:  # type: ignore[arg-type]
        requests = questions(engine(server.url), 4, (" Which?\n",))
        with caplog.at_level(logging.WARNING, "salmon"):
            found = model.choose(requests, ("a", "b"))
        assert server.bodies[-1]["max_tokens"] == 16
        assert len({each["seed"] for each in server.bodies if "seed" in each}) == 160
        unread = model.silence.unread
        assert 20 < unread < 60
        assert f"{unread} of 160 sampled answers do not begin with a choice, and are left out" in caplog.text
    for request, ((a, b),) in zip(requests, found, strict=True):
        assert math.isclose(math.exp(a) + math.exp(b), 1)
        assert abs(math.exp(a) - share(messages_of(request.texts[0]))) < 0.25, "about 30 votes are left"


def test_no_vote_is_guessed() -> None:
    says = {"Text": {"text": "I would say a.", "finish_reason": "stop"}}
    with OpenAIServer(logprobs="drop", says=says) as server, engine(server.url, votes=3).chooser(MODEL) as model:
        found = model.choose(questions(engine(server.url), 1), ("a", "b"))
    assert found == [[(math.log(0.5), math.log(0.5))] * 2]
    assert (model.silence.votes, model.silence.unread) == (6, 6)
    texts = ("a", " a", "(b)", "**b**\n", "b, as it is kind", "", "A", "ab", "both a and b", "neither", "1. a")
    assert [vote(text, ("a", "b")) for text in texts] == ["a", "a", "b", "b", "b", *[None] * 6]


def test_an_endpoint_may_repeat_how_the_answer_begins() -> None:
    says = {"Text": {"text": "The answer:\na", "finish_reason": "stop"}}
    with OpenAIServer(logprobs="drop", says=says) as server, engine(server.url, votes=3).chooser(MODEL) as model:
        found = model.choose(questions(engine(server.url), 1), ("a", "b"))
    assert found == [[(math.log(3.5 / 4), math.log(0.5 / 4))] * 2]


def test_completions_send_the_ids_of_the_text(tmp_path: Path) -> None:
    backend = byte_bpe(["the river runs to a or b\n"] * 9, vocab_size=290, specials=["<s>", "</s>"], bos="<s>")
    tokenizer = tokenizer_of(
        backend, chat="{{ bos_token }}{{ messages[0].content }}", bos_token="<s>", eos_token="</s>"
    )
    tokenizer.save_pretrained(tmp_path / "model")
    llama_config(tokenizer).save_pretrained(tmp_path / "model")
    with OpenAIServer(counts=False) as server:
        made = engine(server.url, tmp_path, api="completions", tokenizer="model", cache="kept/a.sqlite")
        codec = made.codec(MODEL)
        with made.sampler(MODEL) as sampler:
            found = sampler.sample(rendered(made, prompts(2)), SAMPLING)
        assert server.bodies[0]["prompt"] in [codec.encode(f"<s>Question number {n}?") for n in range(2)]
        assert all(each.token_ids[: each.n_tokens] == tuple(codec.encode(each.text)) for each in found)
        with made.chooser(MODEL) as chooser:
            ((pair,),) = chooser.choose([PrefixRequest("<s>Which?\n", ("answer\n",))], ("a", "b"))
            assert server.bodies[-1]["logprobs"] == 20
            # With a space before it, it is another token.
            p = 0.9 * share(codec.encode("<s>Which?\nanswer\n"))
            assert pair == pytest.approx((math.log(0.75 * p), math.log(0.9 - p)))
            with pytest.raises(SalmonError, match="'abba' is not one single token after"):
                chooser.choose([PrefixRequest("<s>Which?\n", ("",))], ("abba", "b"))
            # Where the endpoint counts no tokens, we do.
            usage = chooser._open._answers.usage(chooser._open.url, "served")
            assert usage.requests == 7
            assert usage.prompt_tokens == sum(len(each["prompt"]) for each in server.bodies)
