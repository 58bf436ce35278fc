"""What the real vLLM says, beside the engine `transformers` on the same models in float32."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import below
from vllm_world import LENGTH, QUICK, engine, model, prompts, requests

from salmon_core.api import ModelSpec, PrefixRequest, Sampling
from salmon_core.errors import SalmonError
from salmon_core.records import Completion, Prompt
from salmon_transformers.engine import TransformersEngine

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
Make = Callable[..., Path]
GREEDY = Sampling(temperature=0, max_new_tokens=40, samples=1)


def plain(ability: str, spec: ModelSpec) -> Any:
    """The same model, opened by the engine `transformers`."""
    return getattr(TransformersEngine(), ability)(spec)


@pytest.fixture(scope="module")
def speaker(make: Make, tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    """A model that ends some of its texts: by a token that its generation settings name beside the EOS."""
    folder = tmp_path_factory.mktemp("ends") / "model"
    shutil.copytree(make(), folder)
    with plain("sampler", model(folder)) as opened:
        said = [each.token_ids for each in opened.sample(prompts(), GREEDY)]
        eos = opened.codec.eos_id
    counted = Counter(token for ids in said for token in set(ids))
    end = next(token for token, count in counted.most_common() if count < len(said))
    settings = {"eos_token_id": [eos, end], "temperature": 0.1, "top_k": 1, "repetition_penalty": 3.0}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return model(folder)


@pytest.fixture(scope="module")
def sampler(speaker: ModelSpec) -> Iterator[Any]:
    with engine(**QUICK).sampler(speaker) as opened:
        yield opened


@pytest.mark.parametrize("stop", [(), ("e",), ("ri", "o", "</s>")])
def test_greedy_completions_are_the_same(sampler: Any, speaker: ModelSpec, stop: tuple[str, ...]) -> None:
    """Ids, texts and ends, with ends of both kinds and at the limit."""
    sampling = Sampling(temperature=0, max_new_tokens=40, samples=1, stop=stop)
    with plain("sampler", speaker) as opened:
        wanted: list[Completion] = opened.sample(prompts(8), sampling)
    assert sampler.sample(prompts(8), sampling) == wanted
    assert {each.stopped for each in wanted} == ({True, False} if not stop else {True})
    assert len({each.text for each in wanted}) > 4


def test_a_sample_has_noise_of_its_own(sampler: Any) -> None:
    """By seed, prompt and sample: what else is asked, and in which order, changes nothing here."""
    sampling = Sampling(temperature=1.0, max_new_tokens=24, samples=3, seed=5, stop=("q",))
    whole: list[Completion] = sampler.sample(prompts(6), sampling)
    assert len({each.token_ids for each in whole}) == 18
    by_name = {(each.prompt_id, each.index): each for each in whole}
    for found in (sampler.sample(prompts(6)[::-1], sampling), sampler.sample(prompts(2), sampling)):
        assert all(each == by_name[each.prompt_id, each.index] for each in found)
    other = sampler.sample(prompts(6), Sampling(temperature=1.0, max_new_tokens=24, samples=3, seed=6, stop=("q",)))
    assert all(each.token_ids != by_name[each.prompt_id, each.index].token_ids for each in other)


def test_temperature_and_nucleus_are_those_of_the_model(sampler: Any, speaker: ModelSpec) -> None:
    """The first tokens of many samples, against the model's probabilities."""
    import torch
    from transformers import AutoModelForCausalLM

    (prompt, text), temperature, top_p, count = prompts(1)[0], 0.7, 0.8, 3000
    with torch.no_grad():
        ids = torch.tensor([sampler.codec.encode(text)])
        logits = AutoModelForCausalLM.from_pretrained(speaker.path, dtype=torch.float32)(ids).logits[0, -1]
    likely = torch.softmax(logits / temperature, -1)
    order = likely.argsort(descending=True)
    nucleus = order[: int((likely[order].cumsum(0) < top_p).sum()) + 1]
    share = likely[nucleus] / likely[nucleus].sum()
    sampling = Sampling(temperature=temperature, top_p=top_p, max_new_tokens=1, samples=count, seed=1)
    drawn = Counter(each.token_ids[0] for each in sampler.sample([(prompt, text)], sampling))
    assert set(drawn) <= set(nucleus.tolist())
    away = sum(abs(drawn[token] / count - p) for token, p in zip(nucleus.tolist(), share.tolist(), strict=True)) / 2
    # Chance alone moves this by about sqrt(n / 2 pi count).
    assert len(nucleus) > 3
    assert away < 2 * (len(nucleus) / (6.28 * count)) ** 0.5 + 0.01


def test_prompts_without_room_are_refused(sampler: Any) -> None:
    long = (Prompt.from_text("x", id="long"), " run" * (LENGTH - 40))
    with pytest.raises(SalmonError, match=r"prompt long: \d+ tokens and 40 new ones exceed"):
        sampler.sample([long], GREEDY)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_choices_are_the_same(make: Make, kind: str) -> None:
    spec = model(make(kind))
    with plain("chooser", spec) as opened:
        wanted = [one - two for row in opened.choose(requests(), ("a", "b")) for one, two in row]
    with engine(**QUICK).chooser(spec) as opened:
        pairs = opened.choose(requests(), ("a", "b"))
        assert all(value <= 0 for row in pairs for pair in row for value in pair), "they are log-probabilities"
        found = [one - two for row in pairs for one, two in row]
        assert found == pytest.approx(wanted, abs=1e-3)
        assert max(found) - min(found) > 0.1
        with pytest.raises(SalmonError, match="the choice 'neither' is not one token behind"):
            opened.choose(requests(), ("a", "neither"))
        # The longest text of all, and one token more.
        room = opened.codec.max_length
        texts = [PrefixRequest("", ("7" * (room + more),)) for more in (0, 1)]
        assert len(opened.choose(texts[:1], ("a", "b"))) == 1
        with pytest.raises(SalmonError, match=f"a text of {LENGTH} tokens exceeds"):
            opened.choose(texts[1:], ("a", "b"))


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_scores_are_the_same(make: Make, kind: str) -> None:
    spec = model(make(kind, reward=True))
    asked = requests(tail="</s>")
    with plain("scorer", spec) as opened:
        wanted = [value for row in opened.score(asked) for value in row]
    with engine(**QUICK).scorer(spec) as opened:
        found = [value for row in opened.score(asked) for value in row]
    assert found == pytest.approx(wanted, abs=1e-3)
    assert max(found) - min(found) > 0.1


def test_an_adapter_is_put_on_top(make: Make, tmp_path: Path) -> None:
    """LoRA, as merged by PEFT."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(make(), dtype=torch.float32)
    lora = peft.LoraConfig(r=4, lora_alpha=16, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    peft.get_peft_model(base, lora).save_pretrained(tmp_path / "adapter")
    spec = model(make(), adapter=str(tmp_path / "adapter"))
    values = {}
    for name, built, which in (
        ("wanted", TransformersEngine(), spec),
        ("base", TransformersEngine(), model(make())),
        ("found", engine(**QUICK), spec),
    ):
        with built.chooser(which) as opened:
            values[name] = [one - two for row in opened.choose(requests(), ("a", "b")) for one, two in row]
    assert values["found"] == pytest.approx(values["wanted"], abs=1e-3)
    assert values["found"] != pytest.approx(values["base"], abs=0.1)


def test_what_vllm_cannot_open_is_told(make: Make, tmp_path: Path) -> None:
    before = below()
    with pytest.raises(SalmonError, match="device 'cuda' asked for, but this vLLM runs on 'cpu'"):
        engine(**QUICK).sampler(model(make(), device="cuda"))
    shutil.copytree(make(), tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(SalmonError, match="vLLM refuses: ") as caught:
        engine(**QUICK).sampler(model(tmp_path / "cut"))
    assert str(tmp_path / "cut") in str(caught.value)
    assert below() == before
