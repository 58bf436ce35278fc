"""What a configuration says of demonstrations that the model makes itself, looked up."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from salmon_core.api.principles import PrincipleSet
from salmon_core.config.choices import PrincipleChoice
from salmon_core.config.demonstrations import QuestionsSection, SelfAlignSection
from salmon_core.config.lookup import Lookup
from salmon_core.config.rewarding import chosen_principles
from salmon_core.data.files import full_path
from salmon_core.principles.files import bundled_dir
from salmon_core.principles.worked import Topics, Worked, read_exemplars, read_topics

#: the folder of the bundled set, exemplars and topics
BUNDLED = "self-align"


@dataclass(frozen=True)
class Shown:
    """What one pass shows.

    Attributes:
        exemplars: to draw from; each goes by principles of the set.
    """

    principles: PrincipleSet
    exemplars: tuple[Worked, ...]


@dataclass(frozen=True)
class SelfAlign:
    """The section with everything looked up.

    Attributes:
        topics: None where no question is invented.
        verbose: what the pass for thorough answers shows; None: there is none.
    """

    section: SelfAlignSection
    first: Shown
    topics: Topics | None
    verbose: Shown | None


def self_align(look: Lookup) -> SelfAlign | None:
    """The section looked up; None where there is none, or something in it is missing."""
    section = look.config.self_align
    if section is None:
        return None
    where = "self_align"
    first = _shown(look, section, section.principles, section.exemplars, where)
    topics = _topics(look, section)
    verbose = None
    if section.verbose is not None:
        own = section.verbose
        choice, exemplars = own.principles or section.principles, own.exemplars or section.exemplars
        verbose = _shown(look, section, choice, exemplars, f"{where}.verbose")
    if first is None or (topics is None and section.prompts != "run") or (verbose is None and section.verbose):
        return None
    return SelfAlign(section, first, topics, verbose)


def _shown(
    look: Lookup, section: SelfAlignSection, choice: PrincipleChoice, exemplars: str | None, where: str
) -> Shown | None:
    principles = chosen_principles(look, choice, f"{where}.principles")
    if choice.negate:
        look.problem(f"{where}.principles.negate", "demonstrations follow the principles themselves", "leave it out")
    if choice.weights:
        look.problem(f"{where}.principles.weights", "would have no effect here", "leave them out")
    path = _file(look, exemplars, "exemplars.yaml", f"{where}.exemplars")
    if principles is None:
        return None
    if section.show_principles is not None and section.show_principles > len(principles):
        look.problem("self_align.show_principles", f"is {section.show_principles}, and there are {len(principles)}")
    if section.show_exemplars == 0:
        return Shown(principles, ())
    if path is None:
        return None
    read = partial(read_exemplars, path, principles.names, thoughts=section.thoughts)
    found = look.attempt(f"{where}.exemplars", read)
    if found is None:
        return None
    if section.show_exemplars > len(found):
        look.problem(
            "self_align.show_exemplars", f"is {section.show_exemplars}, and {path.name} has {len(found)} exemplars"
        )
    return Shown(principles, found)


def _topics(look: Lookup, section: SelfAlignSection) -> Topics | None:
    where = "self_align.questions"
    if section.prompts == "run":
        if section.questions != QuestionsSection():
            look.problem(where, "means nothing where `prompts` is `run`: none is invented", "leave it out")
        return None
    path = _file(look, section.questions.topics, "topics.yaml", f"{where}.topics")
    found = None if path is None else look.attempt(f"{where}.topics", partial(read_topics, path))
    if found is not None and section.questions.show > len(found.questions):
        assert path is not None
        look.problem(
            f"{where}.show", f"is {section.questions.show}, and {path.name} has {len(found.questions)} questions"
        )
    return found


def _file(look: Lookup, name: str | None, bundled: str, where: str) -> Path | None:
    """A file of the configuration's own, or the bundled one."""
    if name is None:
        return bundled_dir() / BUNDLED / bundled
    path = full_path(look.base / name)
    if os.path.isfile(path):
        return path
    look.problem(where, f"there is no file {name!r}")
    return None
