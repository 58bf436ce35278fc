"""What a prompt source keeps to."""

from __future__ import annotations

import pickle
from typing import Any, ClassVar

from salmon_core.errors import boundary
from salmon_core.plugins.options import require
from salmon_core.records import Prompt
from salmon_core.testing.contracts.base import ComponentContract
from salmon_core.testing.elsewhere import Made

_ROLES = ("system", "user", "assistant")


class PromptSourceContract(ComponentContract):
    """The same prompts in the same order, each with an id of its own."""

    kind: ClassVar[str] = "prompts"

    @staticmethod
    def ask(made: Made, inputs: Any) -> list[Prompt]:
        owned = made.registry.owned(made.spec)
        source = require(owned, made.build(), "load")
        with boundary(str(owned.owner), f"prompts {owned.name!r}"):
            prompts = list(source.load())
        for number, prompt in enumerate(prompts):
            _check(prompt, number)
        return prompts

    def test_there_are_prompts(self) -> None:
        prompts = self.answer(self.inputs())
        assert prompts, "there is no prompt"
        assert any(prompt.split != "test" for prompt in prompts), (
            "all prompts are held out, so none is left to train on"
        )

    def test_an_id_is_one_conversation(self) -> None:
        """A prompt may come twice; two prompts may not have one id."""
        by_id: dict[str, Prompt] = {}
        for prompt in self.answer(self.inputs()):
            first = by_id.setdefault(prompt.id, prompt)
            assert first.messages == prompt.messages, f"two different prompts have the id {prompt.id!r}"

    def test_it_can_be_read_twice(self) -> None:
        """One source, loaded again, has not run dry."""
        source = self.made.build()
        self.same(list(source.load()), list(source.load()), "loaded again")

    def test_prompts_survive_pickling(self) -> None:
        prompts = self.answer(self.inputs())
        self.same(pickle.loads(pickle.dumps(prompts)), prompts, "pickled prompts")


def _check(prompt: Any, number: int) -> None:
    where = f"prompt {number}"
    assert isinstance(prompt, Prompt), f"{where} is a {type(prompt).__name__}, not a salmon_core.Prompt"
    assert isinstance(prompt.id, str), f"{where}: the id {prompt.id!r} is no text"
    assert prompt.id, f"{where} has no id"
    assert prompt.split in ("", "train", "test"), (
        f"{where}: the split is {prompt.split!r}; leave it empty, or say which"
    )
    assert isinstance(prompt.category, str), f"{where}: the category {prompt.category!r} is no text"
    assert prompt.category, f"{where} has no category; `general` is the usual one"
    assert prompt.messages, f"{where} has no turn"
    for message in prompt.messages:
        assert set(message) == {"role", "content"}, f"{where}: a turn has the keys {sorted(message)}"
        assert message["role"] in _ROLES, f"{where}: a turn has the role {message['role']!r}"
        assert isinstance(message["content"], str), f"{where}: the content of a turn is no text"
        message["content"].encode()  # half a character cannot be written into a file
    assert prompt.messages[-1]["role"] == "user", f"{where} does not end with a turn of the user"
