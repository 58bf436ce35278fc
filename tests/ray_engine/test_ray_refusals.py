"""What a configuration gets wrong, and what is not there, said before anything starts."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from ray_world import spec

from salmon_core.api import ModelSpec
from salmon_core.errors import ConfigError, SalmonError
from salmon_core.plugins.registry import Registry
from salmon_core.run.identity import component_identity

OPENAI = {"base_url": "http://127.0.0.1:9/v1"}
WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no engine": ({}, ["sample.engine.engine: is required"]),
    "unknown engine": (
        {"engine": "transfomers"},
        ["sample.engine.engine: no engine named 'transfomers'; did you mean 'transformers'?", "`plugins`"],
    ),
    "itself": ({"engine": "ray"}, ["sample.engine.engine: is this engine itself"]),
    "inner options": (
        {"engine": "transformers", "options": {"batch_token": 3, "batch_tokens": 0, "quantization": "nf3"}},
        [
            "sample.engine.options.batch_token: there is no such option; did you mean 'batch_tokens'?",
            "sample.engine.options.batch_tokens: Input should be greater than or equal to 1, not 0",
            "sample.engine.options.quantization: ",
        ],
    ),
    "an option of the inner engine outside": (
        {"engine": "transformers", "batch_tokens": 3},
        ["sample.engine.batch_tokens: there is no such option"],
    ),
    "inner options left out": ({"engine": "openai"}, ["sample.engine.options.base_url: is required"]),
    "a path that depends on the folder": (
        {"engine": "openai", "options": {**OPENAI, "cache": "answers.sqlite"}},
        ["sample.engine.options.cache: is a relative path"],
    ),
    "Ray's client": (
        {"engine": "transformers", "address": "ray://head:10001"},
        ["sample.engine.address: ", "HOST:PORT"],
    ),
    "nobody at work": ({"engine": "transformers", "workers": 0}, ["sample.engine.workers: "]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_are_refused_at_their_keys(case: str) -> None:
    options, said = WRONG[case]
    with pytest.raises(ConfigError) as caught:
        spec("ray", **options)
    for text in said:
        assert text in str(caught.value)


def _engine(**options: Any) -> Any:
    return Registry.discover().build(spec("ray", **options))


def test_it_opens_what_the_inner_engine_opens() -> None:
    engine = _engine(engine="openai", options=OPENAI)
    assert callable(engine.sampler)
    assert not callable(engine.scorer)
    assert engine.deterministic is False
    assert _engine(engine="transformers").deterministic is True
    with pytest.raises(SalmonError, match="opens no scorer"):
        engine.check(ModelSpec("any"), "scorer")


def test_the_inner_engines_own_check_is_made(tmp_path: Any) -> None:
    with pytest.raises(SalmonError) as caught:
        _engine(engine="transformers").check(ModelSpec(str(tmp_path / "nothing")), "sampler")
    assert "nothing" in str(caught.value)


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "ray" else found(name, *a))
    engine = _engine(engine="transformers")
    said = r"pip install 'salmon-ray\[ray\]'"
    with pytest.raises(SalmonError, match=said):
        engine.check(ModelSpec("any"), "sampler")
    with pytest.raises(SalmonError, match=said):
        engine.sampler(ModelSpec("any"))


def test_what_changes_no_result_does_not_count() -> None:
    def identity(**options: Any) -> Any:
        return component_identity(spec("ray", engine="transformers", **options), Registry.discover())

    plain = identity()
    aside = {"workers": 7, "address": "head:6379", "num_cpus": 2, "num_gpus": 1, "attempts": 9, "start_timeout": 5}
    assert identity(**aside, resources={"fast": 1}) == plain
    assert identity(chunk=5) != plain
    assert identity(options={"batch_tokens": 7}) != plain
    assert identity(options={"batch_tokens": None}) == plain


def test_an_address_where_nobody_is(tmp_path: Any) -> None:
    from salmon_ray.cluster import connected
    from salmon_ray.options import Options

    with (
        pytest.raises(SalmonError, match=r"address: 127\.0\.0\.1:1: cannot be reached"),
        connected(Options(engine="transformers", address="127.0.0.1:1")),
    ):
        pass
