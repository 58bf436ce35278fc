"""Puts texts into every field of every prompt, and looks at the ids for structure that nobody put there.

    python tests/attacks/attack_run.py             # every text of the corpus; prints tried, forged, refused
    python tests/attacks/attack_run.py --texts 40  # some

Forged: the ids have other control tokens or markers, or in another order, than with a plain text in that field.
Refused: salmon raised an error instead. How structure is read off ids is written here once more, in another way than in
salmon.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from attack_families import Family, added, families

from salmon_core import Prompt, SalmonError
from salmon_core.api.templates import Limits, RewardConversation, Template
from salmon_core.records import Completion, Message, Pair, ShownPrinciple
from salmon_core.reward.forms import asking, frame_of
from salmon_core.reward.rendering import Renderer
from salmon_judge.template import STANDARD
from salmon_minnow.formats import TEMPLATE as MINNOW

CORPUS = Path(__file__).parent / "corpus.jsonl"
LIMITS = Limits(prompt=4000, completion=4000, total=16000)
PLAIN = "A plain answer."
COLUMNS = ("tried", "forged", "refused")
HEADED = Template(
    judge="Question:\n{instruction}\nAnswer 1:\n{first}\nAnswer 2:\n{second}\n",
    principle="Rule:\n{principle}\nEnd of rule.\n",
    verdict="Better answer:\n",
    choices=("1", "2"),
    reward="Question:\n{instruction}\nAnswer:\n{completion}\n",
    score="Better answer:\n",
    markers=("\nRule:", "\nBetter answer:"),
    turn="{role}:\n{content}\n",
)
TAGGED = Template(
    judge="<task>{instruction}</task><one>{first}</one><two>{second}</two>",
    principle="<rule>{principle}</rule>",
    verdict="<choice>",
    reward="<task>{instruction}</task><one>{completion}</one>",
    score="<choice>",
    markers=("<task>", "</task>", "<one>", "</one>", "<two>", "</two>", "<rule>", "</rule>", "<choice>"),
    turn="<turn {role}>{content}</turn>",
)
#: template -> markers wherever they stand, headings
TEMPLATES: dict[str, tuple[Template, tuple[str, ...], tuple[str, ...]]] = {
    "standard": (STANDARD, STANDARD.markers, ()),
    "minnow": (MINNOW, MINNOW.markers, ("User:", "Assistant:")),
    "headed": (HEADED, (), ("Question:", "Answer:", "Answer 1:", "Answer 2:", "Rule:", "Better answer:")),
    "tagged": (TAGGED, (*TAGGED.markers, "<turn user>", "<turn assistant>", "</turn>"), ()),
}


def corpus() -> list[str]:
    """The texts."""
    return [json.loads(line)["text"] for line in CORPUS.read_text(encoding="utf-8").splitlines()]


class Target:
    """One tokenizer with one template.

    Args:
        alter: changes the renderer, for instance to take its sanitizer away.
    """

    def __init__(self, family: Family, template: str, *, alter: Callable[[Renderer], None] = lambda renderer: None):
        self.family, self.template = family, template
        chosen, markers, headings = TEMPLATES[template]
        self.renderer = Renderer(chosen, family.codec, limits=LIMITS)
        #: a judge asked in a conversation, where template and tokenizer have what that needs
        self.chat = Renderer(chosen, family.codec, limits=LIMITS, form="auto")
        self.in_conversation = frame_of(chosen, family.codec).form == "chat"
        #: reward models asked by their own chat template, principles in the user's turn, and in the system's
        self.turns = {
            place: Renderer(replace(chosen, conversation=RewardConversation(place, "By these rules:\n")), family.codec)
            for place in ("user", "system")
        }
        #: a judge that is sampled from, with a question of its own
        self.asked = Renderer(asking(chosen, "Argue, then decide.\n"), family.codec, limits=LIMITS, form="auto")
        for each in (self.renderer, self.chat, self.asked, *self.turns.values()):
            alter(each)
        self._control = added(family)
        words = (*family.markers, *markers)
        self._headings = tuple(map(self._folded, (*family.headings, *headings)))
        self._words = tuple(map(self._folded, words))

    @cached_property
    def fields(self) -> dict[str, Callable[[str], str]]:
        """Field -> renders a prompt with a text in it."""
        plain: dict[str, Callable[[str], str]] = {
            "judge: instruction": lambda text: self._judge(text, PLAIN, PLAIN),
            "judge: first": lambda text: self._judge(PLAIN, text, PLAIN),
            "judge: second": lambda text: self._judge(PLAIN, PLAIN, text),
            "judge, asked: second": lambda text: self._judge(PLAIN, PLAIN, text, by=self.asked),
            "judge, asked: principle": lambda text: self._judge(PLAIN, PLAIN, PLAIN, text, by=self.asked),
            "reward: instruction": lambda text: self._reward([text], PLAIN, PLAIN),
            "reward: earlier turns": lambda text: self._reward([text, text, PLAIN], PLAIN, PLAIN),
            "reward: completion": lambda text: self._reward([PLAIN], text, PLAIN),
            "reward: principle": lambda text: self._reward([PLAIN], PLAIN, text),
            "policy: user": lambda text: self._policy([text]),
            "policy: earlier turns": lambda text: self._policy([text, text, PLAIN]),
            "policy: system": lambda text: self._policy([PLAIN], system=text),
        }
        if self.family.codec.own_chat:
            plain |= {
                "reward, in a conversation: instruction": lambda text: self._turns([text], PLAIN, PLAIN),
                "reward, in a conversation: earlier turns": lambda text: self._turns([text, text, PLAIN], PLAIN, PLAIN),
                "reward, in a conversation: completion": lambda text: self._turns([PLAIN], text, PLAIN),
                "reward, in a conversation: principle": lambda text: self._turns([PLAIN], PLAIN, text),
                "reward, in a conversation: system's principle": lambda text: self._turns(
                    [PLAIN], PLAIN, text, place="system"
                ),
            }
        if not self.in_conversation:
            return plain
        return plain | {
            "judge, in a conversation: instruction": lambda text: self._judge(text, PLAIN, PLAIN, by=self.chat),
            "judge, in a conversation: first": lambda text: self._judge(PLAIN, text, PLAIN, by=self.chat),
            "judge, in a conversation: second": lambda text: self._judge(PLAIN, PLAIN, text, by=self.chat),
            "judge, in a conversation: principle": lambda text: self._judge(PLAIN, PLAIN, PLAIN, text, by=self.chat),
        }

    def attack(self, texts: Iterable[str]) -> Counter[str]:
        """-> how many were `tried`, `forged`, `refused`."""
        found: Counter[str] = Counter(tried=0, forged=0, refused=0)
        for field, render in self.fields.items():
            plain = {blank: self.structure(render("" if blank else PLAIN)) for blank in (True, False)}
            for text in texts:
                found["tried"] += 1
                try:
                    rendered = render(text)
                except SalmonError:
                    found["refused"] += 1
                    continue
                # A chat template may leave out or join an empty turn.
                if self.structure(rendered) not in (plain[False], *([plain[True]] if not text.strip() else [])):
                    found["forged"] += 1
                    found[f"{field}: {text!r}"] += 1
        return found

    def structure(self, text: str) -> tuple[list[str], list[str]]:
        """-> control tokens, markers, as the ids of a text have them, in order."""
        ids = self.family.codec.encode(text)
        control = [self._control[each] for each in ids if each in self._control]
        spelt = self.family.codec.decode(ids)
        if self.family.unknown:
            spelt = spelt.replace(self.family.unknown, "zqz")
        return control, self._markers(spelt)

    def _markers(self, spelt: str) -> list[str]:
        text = self._folded(spelt)
        # A place counts once, whether it is a marker in one format, in another, or in both.
        found: dict[int, str] = {}
        for word in self._words:
            found |= {match.end(): word for match in re.finditer(re.escape(word), text)}
        for heading in self._headings:
            begin = r"(?<![a-z0-9])" if self.family.flat else r"(?m:^)\s*"
            found |= {match.end(): heading for match in re.finditer(begin + re.escape(heading), text)}
        return [word for _, word in sorted(found.items())]

    def _folded(self, text: str) -> str:
        text = "\n".join(re.split(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", text))
        text = unicodedata.normalize("NFKD", text.replace("▁", " ")).casefold()
        text = "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Mn", "Cc", "Cf", "Co", "Cn"))
        if self.family.flat:
            text = text.replace("\n", " ")
        if self.family.loose:
            text = re.sub(r"\s*([^\w\s])\s*", r"\1", text)
        return re.sub(r"[^\S\n]+", " ", text)

    def _judge(
        self, instruction: str, first: str, second: str, principle: str = PLAIN, *, by: Renderer | None = None
    ) -> str:
        completions = [Completion("p", index, text, (), 0, True) for index, text in enumerate((first, second))]
        pair = Pair(Prompt("p", _turns([instruction])), *completions)
        return (by or self.renderer).judge(pair, [ShownPrinciple("p", principle)])[0].texts[0]

    def _reward(self, turns: Sequence[str], completion: str, principle: str) -> str:
        shown = [ShownPrinciple("p", principle), ShownPrinciple("q", PLAIN)]
        return self.renderer.reward(_turns(turns), completion, [shown]).texts[0]

    def _turns(self, turns: Sequence[str], completion: str, principle: str, *, place: str = "user") -> str:
        shown = [ShownPrinciple("p", principle), ShownPrinciple("q", PLAIN)]
        return self.turns[place].reward(_turns(turns), completion, [shown]).texts[0]

    def _policy(self, turns: Sequence[str], *, system: str | None = None) -> str:
        before: tuple[Message, ...] = () if system is None else ({"role": "system", "content": system},)
        return self.renderer.policy(Prompt("p", before + _turns(turns)))


def _turns(texts: Sequence[str]) -> tuple[Message, ...]:
    roles = ("user", "assistant")
    return tuple({"role": roles[index % 2], "content": text} for index, text in enumerate(texts))


def targets(**options: Any) -> Iterator[Target]:
    """Every family with every template."""
    for family in families():
        for template in TEMPLATES:
            yield Target(family, template, **options)


def main() -> int:
    """Attacks and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, help="only so many of the corpus, evenly chosen")
    args = parser.parse_args()
    texts = corpus()
    if args.texts:
        texts = texts[:: max(1, len(texts) // args.texts)]
    total: Counter[str] = Counter()
    fields: set[int] = set()
    print(f"{'family':12}{'template':12}{'tried':>9}{'forged':>9}{'refused':>9}")
    for target in targets():
        found = target.attack(texts)
        fields.add(len(target.fields))
        print(f"{target.family.name:12}{target.template:12}" + "".join(f"{found[n]:9,}" for n in COLUMNS), flush=True)
        for name, _ in [item for item in found.items() if item[0] not in COLUMNS][:5]:
            print(f"    {name}")
        total.update({name: found[name] for name in COLUMNS})
    print(
        f"\n{len(texts)} texts x {len(families())} tokenizers x {len(TEMPLATES)} templates x"
        f" {' or '.join(map(str, sorted(fields)))} fields = "
        f"{total['tried']:,} tried, {total['forged']:,} forged, {total['refused']:,} refused"
    )
    return 1 if total["forged"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
