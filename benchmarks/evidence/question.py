"""What a question is: arms, which are runs by their settings, and what is written of their results."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evidence.results import Results

#: in a setting, stands for the folder of another arm's run with the same seed, relative to the configuration
RUN_OF = re.compile(r"\{run of ([^{}]+)\}")


@dataclass(frozen=True)
class Arm:
    """One run for each seed.

    Attributes:
        name: in tables.
        settings: `--set` overrides of `examples/minnow.yaml`, beside the seed.
    """

    name: str
    settings: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Named by the settings, and by nothing else: the same settings of two questions are one run."""
        digest = hashlib.sha256(json.dumps(self.settings).encode()).hexdigest()[:10]
        words = re.sub(r"[^a-z0-9]+", "-", " ".join(each for each in self.settings if not _measures(each)).lower())
        return f"{words.strip('-')[:60].strip('-') or 'base'}-{digest}"


def made_by(arm: Arm) -> str:
    """In a setting: the folder of that arm's run with the same seed. It is done before the arm that names it."""
    return f"{{run of {arm.folder}}}"


def _measures(setting: str) -> bool:
    return setting.startswith(("evaluate=", "expect="))


@dataclass(frozen=True)
class Question:
    """A question and its part of the page.

    Attributes:
        name: for `--only`.
        asks: what is asked and how; fixed text, with no word about results.
        arms: of it; the base's run, which all are compared with, is done first anyway.
        write: the part of the page, from what is there.
        kl: whether the divergence of its policies from the initial one is measured.
    """

    name: str
    title: str
    asks: str
    arms: tuple[Arm, ...]
    write: Callable[[Results], list[str]]
    kl: bool = False


# ------------------------------------------------------------------------------------------------ what arms are made of
ORACLE = "{name: minnow-oracle, samples: 8}"
#: the reward model under each of the world's texts, alone and against each other
TEXTS = "{name: evidence-texts, samples: 8}"
SHIFT = "{name: reward-shift, samples: 8}"


def measured(*evaluators: str) -> tuple[str, ...]:
    """Settings: these evaluators, and no expectations."""
    return (f"evaluate=[{', '.join(evaluators)}]", "expect=[]")


#: what the policy does, and no more: arms that keep the base's reward model
RATES = measured(ORACLE)
#: what the reward model knows and what the policy does
BOTH = measured(ORACLE, TEXTS)

_ACCURACY = "{name: rm-accuracy, truth: minnow, samples: 8}"
#: the quickstart
BASE = Arm("base", measured(ORACLE, _ACCURACY, SHIFT, TEXTS, "{name: evidence-all-shown, samples: 8}"))


def rewarded(names: str, show: int, *more: str) -> tuple[str, ...]:
    """Settings: rewarded by these principles of the set `minnow`, so many of them shown.

    Args:
        names: divided by commas.
        more: further keys of `reward.principles`.
    """
    keys = ", ".join(("name: minnow", f"only: [{names}]", *more))
    return (f"reward.principles={{{keys}}}", f"reward.show={show}")
