"""What a principle set keeps to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from salmon_core.api.principles import PrincipleSet
from salmon_core.config.names import find_principle_set
from salmon_core.principles.draw import draw_for_policy
from salmon_core.principles.files import load_principle_set
from salmon_core.principles.yaml import write_principle_yaml
from salmon_core.rng import named_rng
from salmon_core.testing.contracts.base import ComponentContract
from salmon_core.testing.elsewhere import Made


class PrinciplesContract(ComponentContract):
    """Principles that can be drawn, shown, negated, and written as a file."""

    kind: ClassVar[str] = "principle_sets"

    @property
    def principles(self) -> PrincipleSet:
        """The set."""
        return self.ask(self.made, None)

    @staticmethod
    def ask(made: Made, inputs: Any) -> PrincipleSet:
        found = find_principle_set(made.registry, f"{made.spec.owner}/{made.spec.name}", Path())
        assert isinstance(found, PrincipleSet), f"is a {type(found).__name__}, not a PrincipleSet"
        return found

    def test_there_are_principles(self) -> None:
        assert len(self.principles), "the set has no principle"

    def test_texts_are_tidy(self) -> None:
        """One line each, without white space around; a file has no other form."""
        for principle in self.principles:
            for what, text in (("name", principle.name), ("text", principle.text), ("negated", principle.negated)):
                if text is not None:
                    assert text == " ".join(text.split()), (
                        f"{principle.name!r}: {what} has white space that is not seen"
                    )

    def test_texts_differ(self) -> None:
        """From each other, and from their opposites: a reward model knows a principle by its text alone."""
        seen: dict[str, str] = {}
        for principle in self.principles:
            for text in filter(None, (principle.text, principle.negated)):
                first = seen.setdefault(text, principle.name)
                assert first == principle.name, f"{first!r} and {principle.name!r} have the same text"
            assert principle.text != principle.negated, f"{principle.name!r}: the text and its opposite are the same"

    def test_they_can_be_drawn(self) -> None:
        """Each of them has a chance, and the same draw gives the same."""
        principles = self.principles
        for category in ("general", "reasoning", "red-teaming"):
            drawn = draw_for_policy(principles, named_rng(1, category), show=len(principles), category=category)
            assert sorted(shown.name for shown in drawn) == sorted(principles.names)

    def test_it_can_be_written_and_read(self, tmp_path: Path) -> None:
        file = tmp_path / "principles.yaml"
        write_principle_yaml(self.principles, file)
        self.same(tuple(load_principle_set(file)), tuple(self.principles), "written as YAML and read")
