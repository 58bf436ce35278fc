"""The engine keeps the contract, whatever works in it; and says what the inner engine says, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from ray_world import opened, spec

from salmon_core.api import Ability, Chooser, ModelSpec, PrefixRequest, Sampler, Sampling, Scorer
from salmon_core.records import Prompt
from salmon_core.testing import EngineContract
from salmon_ray import plugin


class TestLetters(EngineContract):
    """All of it, with an engine that opens at once; a fresh process joins the cluster by its address."""

    plugin = plugin
    name = "ray"
    refuses = False  # a model that is not there: it needs no files

    @pytest.fixture(autouse=True)
    def _pool(self, cluster: str) -> None:
        options: Any = {"engine": "letters", "chunk": 2, "address": cluster}
        self.options = options


class TestTransformers(EngineContract):
    """What does not open a model anew each time: torch takes seconds to import in each worker."""

    plugin = plugin
    name = "ray"
    tolerance = 1e-4

    @pytest.fixture(autouse=True)
    def _pool(self, cluster: str, folders: dict[bool, Path]) -> None:
        self.folders = folders
        # All that are kept open have room in the cluster at once.
        options: Any = {"engine": "transformers", "options": {"batch_tokens": 1}, "chunk": 3, "num_cpus": 0.3}
        self.options = options

    @pytest.fixture(autouse=True, scope="class")
    def _kept(self, request: pytest.FixtureRequest) -> Iterator[None]:
        request.cls.kept = {}
        yield
        for each in request.cls.kept.values():
            each.close()

    def model(self, ability: Ability) -> ModelSpec:
        return ModelSpec(str(self.folders[ability == "scorer"]), dtype="float32", device="cpu")

    def open(self, ability: Ability) -> AbstractContextManager[Any]:  # type: ignore[override]
        kept = self.kept  # type: ignore[attr-defined]
        if ability not in kept:
            kept[ability] = super().open(ability)
        return nullcontext(kept[ability])

    @pytest.mark.parametrize("ability", ["sampler", "chooser", "scorer"])
    def test_it_says_what_the_inner_engine_says(self, ability: Ability) -> None:
        """Equal, not close. Batches of judging and scoring are single texts here, so a piece's end cuts none in two."""
        sampling = Sampling(temperature=1.0, max_new_tokens=24, samples=3, seed=1, stop=("e",), batch_size=4)
        found: list[Any] = []
        with opened(spec("transformers", batch_tokens=1), self.model(ability), ability) as plain:
            for model in (plain, self.open(ability).__enter__()):
                if ability == "sampler":
                    found.append(cast(Sampler, model).sample(_prompts(), sampling))
                elif ability == "chooser":
                    found.append(cast(Chooser, model).choose(_requests(), ("a", "b")))
                else:
                    found.append(cast(Scorer, model).score(_requests("</s>")))
        assert found[0] == found[1]
        assert len(found[0]) == len(_prompts()) * (3 if ability == "sampler" else 1)

    @pytest.mark.skip(reason="opens each model anew; see TestLetters")
    def test_models_close(self) -> None: ...

    @pytest.mark.skip(reason="opens each model anew; see TestLetters")
    def test_inputs_stay_as_they_were(self) -> None: ...

    @pytest.mark.skip(reason="opens each model anew; see TestLetters")
    def test_the_same_gives_the_same(self) -> None: ...

    @pytest.mark.skip(reason="opens each model anew; see TestLetters")
    def test_a_fresh_process_gives_the_same(self, tmp_path: Path) -> None: ...


def _prompts() -> list[tuple[Prompt, str]]:
    texts = [f"Question {n}: where does it run{' and run' * (n * 5 % 7)}? \ud800" for n in range(11)]
    return [(Prompt.from_text(t, id=f"p{n}"), f"<|user|>{t[:-2]}<|end|><|assistant|>") for n, t in enumerate(texts)]


def _requests(tail: str = "") -> list[PrefixRequest]:
    suffixes = tuple(f"\nIs it {what}?\n{tail}" for what in ("brief", "kind, and does it say so", "true"))
    return [PrefixRequest(text, suffixes) for _, text in _prompts()]


def test_the_number_of_workers_changes_nothing(cluster: str) -> None:
    prompts, sampling = _prompts(), Sampling(seed=4)
    found = []
    for workers in (1, 2):
        with opened(spec("ray", engine="letters", chunk=2, workers=workers), ModelSpec("any"), "sampler") as model:
            found.append(cast(Sampler, model).sample(prompts, sampling))
            assert cast(Sampler, model).sample([], sampling) == []
    with opened(spec("letters"), ModelSpec("any"), "sampler") as model:
        wanted = cast(Sampler, model).sample(prompts, sampling)
    assert found == [wanted, wanted]
    assert wanted != cast(Sampler, model).sample(prompts, replace(sampling, seed=5))
