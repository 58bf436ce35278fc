"""What an engine keeps to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, cast, get_args

import pytest

from salmon_core.api.models import (
    Ability,
    Chooser,
    Engine,
    ModelSpec,
    OpenModel,
    PrefixRequest,
    Sampler,
    Sampling,
    Scorer,
    TokenCodec,
    able,
)
from salmon_core.errors import SalmonError
from salmon_core.plugins.engines import open_codec, open_model
from salmon_core.plugins.kept import Kept, keeping
from salmon_core.plugins.options import require
from salmon_core.records import Completion, Message, Prompt
from salmon_core.testing import rows
from salmon_core.testing.contracts.base import ComponentContract
from salmon_core.testing.elsewhere import Made

ABILITIES: tuple[Ability, ...] = get_args(Ability)
_SAMPLING = Sampling(temperature=1.0, max_new_tokens=16, samples=3, seed=5)
_CONVERSATION: tuple[Message, ...] = ({"role": "user", "content": "Good day!"},)


@dataclass(frozen=True)
class Work:
    """What an engine is asked.

    Attributes:
        models: by ability; those of which the results may be compared.
        texts: beginnings of what is chosen after, or scored.
    """

    models: Mapping[str, ModelSpec]
    prompts: tuple[Prompt, ...]
    sampling: Sampling
    texts: tuple[str, ...]
    choices: tuple[str, str]


class EngineContract(ComponentContract):
    """Models that say the same of a text, whatever else they are asked with it, and that close.

    What the engine does not offer is skipped.

    Attributes:
        choices: the two answers of a chooser; each has to be one token at the beginning of a line.
        refuses: whether a model that is not there is refused; false for an engine that needs no files.
    """

    kind: ClassVar[str] = "engines"
    choices: ClassVar[tuple[str, str]] = ("a", "b")
    refuses: ClassVar[bool] = True

    def model(self, ability: Ability) -> ModelSpec:
        """A model to open; override it, with one as small as possible."""
        return ModelSpec("/nowhere/model", device="cpu")

    @property
    def engine(self) -> Engine:
        """The engine, constructed anew."""
        found: Engine = require(self.owned, self.made.build(), "codec")
        return found

    def inputs(self) -> Work:
        engine = self.engine
        offered = [ability for ability in ABILITIES if able(engine, ability)]
        # Completions of an engine that does not say it is deterministic may differ.
        compared = [ability for ability in offered if ability != "sampler" or engine.deterministic]
        texts = tuple(f"{pair.prompt.text}\n{pair.second.text}" for pair in rows.pairs())
        return Work({each: self.model(each) for each in compared}, rows.prompts(), _SAMPLING, texts, self.choices)

    @staticmethod
    def ask(made: Made, inputs: Any) -> dict[str, Any]:
        work = cast(Work, inputs)
        found: dict[str, Any] = {}
        for ability, model in work.models.items():
            with open_model(made.registry, made.spec, model, cast(Ability, ability)) as opened:
                found[ability] = _asked(opened, work)
        return found

    def open(self, ability: Ability) -> OpenModel:
        """A model as a run opens it; skips the test where the engine opens none such."""
        if not able(self.engine, ability):
            pytest.skip(f"the engine opens no {ability}")
        return open_model(self.made.registry, self.made.spec, self.model(ability), ability)

    # -- what it offers ------------------------------------------------------------------------------------------

    def test_it_opens_models(self) -> None:
        engine = self.engine
        assert any(able(engine, ability) for ability in ABILITIES), f"has none of the methods {', '.join(ABILITIES)}"
        assert isinstance(getattr(engine, "deterministic", False), bool), "`deterministic` is true or false"

    def test_models_that_are_not_there_are_refused(self, tmp_path: Path) -> None:
        """By a `SalmonError`, which the user reads without a stack trace."""
        if not self.refuses:
            pytest.skip("the engine needs no files")
        engine = self.engine
        for ability in ABILITIES:
            if able(engine, ability):
                with pytest.raises(SalmonError):
                    getattr(engine, ability)(replace(self.model(ability), path=str(tmp_path / "nothing")))

    def test_models_close(self) -> None:
        """At the end of their context, after an error too; closing again does nothing."""
        engine = self.engine
        for ability in ABILITIES:
            if not able(engine, ability):
                continue
            opened: OpenModel = getattr(engine, ability)(self.model(ability))
            try:
                with opened as entered:
                    assert entered is opened, f"{ability}: the context gives another object"
                    raise InterruptedError
            except InterruptedError:
                opened.close()
            else:
                pytest.fail(f"{ability}: its context swallows errors")

    # -- tokenizer -----------------------------------------------------------------------------------------------

    def test_the_tokenizer_reads_what_it_writes(self) -> None:
        codec = self._codec()
        text = "A river, and 7 boats on it."
        ids = codec.encode(text)
        assert ids, "a text has no tokens"
        assert all(isinstance(i, int) for i in ids), f"ids are {type(ids[0]).__name__}"
        assert codec.encode(text) == ids, "a text has other tokens the second time"
        assert codec.decode(ids).strip().casefold() == text.casefold(), f"{text!r} comes back as {codec.decode(ids)!r}"
        for name, odd in rows.ODD_TEXTS.items():
            try:
                codec.decode(codec.encode(odd))
            except Exception as error:
                raise AssertionError(f"a text such as {name!r}: {error}") from error

    def test_special_tokens_are_parsed_and_none_is_added(self) -> None:
        codec = self._codec()
        assert codec.encode(codec.eos_token) == [codec.eos_id], "the EOS, written in a text, is not its id alone"
        assert codec.eos_token in codec.special_tokens, "the EOS is not among the special tokens"
        ids = codec.encode(f"Hello{codec.eos_token}")
        assert ids.count(codec.eos_id) == 1, "an EOS is added to a text"
        assert ids[-1] == codec.eos_id
        assert codec.eos_token not in codec.decode(ids, skip_special=True), "skip_special leaves the EOS"
        assert codec.bos_token is None or codec.bos_token in codec.special_tokens, "the BOS is no special token"
        if codec.bos_token:
            assert len(codec.encode(codec.bos_token)) == 1, "a BOS is added to a text that has one"

    def test_the_chat_template_shows_the_conversation(self) -> None:
        codec = self._codec()
        text = codec.chat(_CONVERSATION)
        assert "Good day!" in text, f"the prompt is not in {text!r}"
        assert codec.chat(_CONVERSATION) == text

    def test_open_models_have_the_same_tokenizer(self) -> None:
        engine = self.engine
        for ability in ABILITIES:
            if able(engine, ability):
                with self.open(ability) as opened:
                    alone = open_codec(self.made.registry, self.made.spec, self.model(ability))
                    text = f"A river.{alone.eos_token}"
                    assert opened.codec.encode(text) == alone.encode(text), f"{ability}: another tokenizer"

    # -- sampling ------------------------------------------------------------------------------------------------

    def test_samples_are_whole(self) -> None:
        """So many for each prompt, in order; ids and texts that fit together."""
        work = self.inputs()
        with self.open("sampler") as opened:
            found, codec = _sampled(opened, work), opened.codec
        wanted = [(prompt.id, index) for prompt in work.prompts for index in range(work.sampling.samples)]
        assert [(each.prompt_id, each.index) for each in found] == wanted, "completions are in another order"
        for each in found:
            where = f"completion {each.index} of prompt {each.prompt_id}"
            ended = bool(each.token_ids) and each.token_ids[-1] == codec.eos_id
            assert len(each.token_ids) <= work.sampling.max_new_tokens, f"{where}: {len(each.token_ids)} tokens"
            assert each.n_tokens == len(each.token_ids) - ended, (
                f"{where}: n_tokens is {each.n_tokens}; without the EOS"
            )
            assert each.stopped == ended, f"{where}: `stopped` is {each.stopped}, but its end says otherwise"
            assert ended or each.n_tokens == work.sampling.max_new_tokens, f"{where}: it is neither ended nor cut off"
            text = codec.decode(each.token_ids, skip_special=True)
            assert text == each.text, f"{where}: the text {each.text!r} is not that of its tokens, {text!r}"

    def test_limits_and_stop_strings_cut(self) -> None:
        work = self.inputs()
        with self.open("sampler") as opened:
            for each in _sampled(opened, work, max_new_tokens=1):
                assert len(each.token_ids) <= 1, f"{each.text!r} is longer than one token"
            whole = _sampled(opened, work)
            # Not the half of a character that a random model may write.
            stop = next((letter for each in whole for letter in each.text[1:] if letter.isascii()), "e")
            cut = _sampled(opened, work, stop=(stop,))
        for each in cut:
            assert stop not in each.text, f"{each.text!r} goes on after the stop string {stop!r}"
        if self.engine.deterministic:
            wanted = [each.text.partition(stop)[0] for each in whole]
            self.same([each.text for each in cut], wanted, f"texts that are cut at {stop!r}")

    def test_deterministic_is_true(self) -> None:
        """Of an engine that says so: other prompts, their order and the batch size change no completion."""
        if not self.engine.deterministic:
            pytest.skip("the engine does not say that it is deterministic")
        work = self.inputs()
        with self.open("sampler") as opened:
            whole = {(each.prompt_id, each.index): each for each in _sampled(opened, work)}
            variants = {
                "asked again": _sampled(opened, work),
                "in another order": _sampled(opened, replace(work, prompts=work.prompts[::-1])),
                "in smaller batches": _sampled(opened, work, batch_size=2),
                "with fewer samples": _sampled(opened, work, samples=1),
                "alone": _sampled(opened, replace(work, prompts=work.prompts[:1])),
            }
        for what, found in variants.items():
            for each in found:
                self.same(each, whole[each.prompt_id, each.index], f"a completion {what}")

    # -- choosing and scoring ------------------------------------------------------------------------------------

    @pytest.mark.parametrize("ability", ["chooser", "scorer"])
    def test_texts_are_read_one_by_one(self, ability: Ability) -> None:
        """A value depends on its text alone: not on the order, on what is read with it, or on where it is split."""
        work = self.inputs()
        with self.open(ability) as opened:
            requests = _requests(opened, work)
            whole = _read(opened, requests, work.choices)
            turned = _read(opened, requests[::-1], work.choices)[::-1]
            alone = [_read(opened, (request,), work.choices)[0] for request in requests]
            split = [PrefixRequest(text, ("",)) for request in requests for text in request.texts]
            flat = [values[0] for values in _read(opened, split, work.choices)]
        self.same(turned, whole, f"{ability}: in another order", tolerance=self.tolerance)
        self.same(alone, whole, f"{ability}: each alone", tolerance=self.tolerance)
        shared = [value for values in whole for value in values]
        self.same(flat, shared, f"{ability}: with no beginning shared", tolerance=self.tolerance)

    def test_a_turned_model_answers_as_one_that_was_opened(self) -> None:
        """What is loaded once to sample and then to choose says the same as what is loaded for each."""
        if not callable(getattr(self.engine, "turned", None)):
            pytest.skip("the engine turns no models")
        work, model = self.inputs(), self.model("chooser")
        found = {}
        for kept in (False, True):
            with Kept() as models, keeping(models, self.made.spec, model) if kept else nullcontext():
                with open_model(self.made.registry, self.made.spec, model, "sampler") as opened:
                    _sampled(opened, work)
                with open_model(self.made.registry, self.made.spec, model, "chooser") as opened:
                    found[kept] = _read(opened, _requests(opened, work), work.choices)
        self.same(found[True], found[False], "of a turned model", tolerance=self.tolerance)

    def _codec(self) -> TokenCodec:
        offered = next(ability for ability in ABILITIES if able(self.engine, ability))
        return open_codec(self.made.registry, self.made.spec, self.model(offered))


def _asked(opened: OpenModel, work: Work) -> Any:
    if isinstance(opened, Sampler):
        return _sampled(opened, work)
    return _read(opened, _requests(opened, work), work.choices)


def _sampled(opened: OpenModel, work: Work, **changes: Any) -> list[Completion]:
    prompts = tuple((prompt, opened.codec.chat(prompt.messages)) for prompt in work.prompts)
    completions = cast(Sampler, opened).sample(prompts, replace(work.sampling, **changes))
    for each in completions:
        assert isinstance(each, Completion), f"gave a {type(each).__name__}, not a Completion"
    return completions


def _requests(opened: OpenModel, work: Work) -> list[PrefixRequest]:
    """Two texts with one beginning, final as the renderer makes them."""
    codec = opened.codec
    tail = codec.eos_token if isinstance(opened, Scorer) else ""
    suffixes = (f"\nIs it brief?\n{tail}", f"\nIs it kind, and does it say so?\n{tail}")
    return [PrefixRequest((codec.bos_token or "") + text, suffixes) for text in work.texts]


def _read(opened: OpenModel, requests: Sequence[PrefixRequest], choices: tuple[str, str]) -> list[list[Any]]:
    if isinstance(opened, Chooser):
        chosen = opened.choose(tuple(requests), choices)
        for pair in (pair for values in chosen for pair in values):
            assert len(pair) == 2, f"gave {len(pair)} values for two choices"
            assert all(math.isfinite(value) for value in pair), f"gave {pair}, which is not finite"
        return [[tuple(map(float, pair)) for pair in values] for values in chosen]
    scores = cast(Scorer, opened).score(tuple(requests))
    for value in (value for values in scores for value in values):
        assert math.isfinite(value), f"gave the score {value}"
    return [[float(value) for value in values] for values in scores]
