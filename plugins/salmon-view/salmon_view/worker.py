"""`python -m salmon_view.worker RUN`: a run with its models, in a process of its own; a line of JSON in, a line out.

A request is `{"do": NAME, ...}`; the answer is `{"is": ...}`, or `{"error": ..., "hint": ...}`. Models are opened when
they are first asked, and the reward model stays open.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from salmon_core.data.interventions import STAGE
from salmon_core.data.own_principles import name_of
from salmon_core.data.parquet import open_table, rows_of
from salmon_core.errors import SalmonError
from salmon_core.kit.commands import announce_file_plugin
from salmon_core.records import Prompt, Rollout, ShownPrinciple, prompt_id
from salmon_core.reward.elsewhere import count_tokens
from salmon_core.reward.reading import label
from salmon_core.reward.reward import RM, Reward, policy_codec
from salmon_core.run.run import Run
from salmon_core.run.steering import Change, added, named, steer

#: sets that prohibitions are looked for in, as `salmon propose` does
SETS = ("interventions",)


class Worker:
    """Answers requests about one run."""

    def __init__(self, folder: Path, *, file_plugins: bool):
        self._folder, self._file_plugins = folder, file_plugins
        self._stack = ExitStack()

    @cached_property
    def run(self) -> Run:
        return Run.open(self._folder, file_plugins=self._file_plugins, announce=announce_file_plugin)

    @cached_property
    def _reward(self) -> Reward:
        """The run's, with nothing shown but what is asked for."""
        spec = replace(self.run.reward_spec(), interventions=(), reweighted=(), record=None, on_failure="stop")
        return self._stack.enter_context(Reward.from_spec(spec))

    def answer(self, asked: Mapping[str, Any]) -> Any:
        """
        Raises:
            SalmonError: it cannot be done.
        """
        known: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "info": self.info,
            "score": self.score,
            "write": self.write,
            "read": self.read,
            "steer": self.steer,
            "propose": self.propose,
        }
        if asked.get("do") not in known:
            raise SalmonError(f"nobody knows how to do {asked.get('do')!r}")
        return known[asked["do"]](asked)

    def info(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """What the reward is made of."""
        config = self.run.config
        rewarded = [
            {"name": each.name, "text": each.text, "negated": each.negated, "weight": each.weight}
            for each in config.reward_principles
        ]
        rewarded += [
            {"name": item.shown.name, "text": item.shown.text, "negated": None, "weight": 1.0, "on": False}
            for item in config.interventions
        ]
        return {
            "principles": rewarded,
            "show": config.config.reward.show,
            "combine": config.config.reward.combine,
            "bonuses": {bonus.label: bonus.weight for bonus in config.bonuses},
            "reads": config.reward_template.reads_principles and config.config.reward.rm_weight != 0,
        }

    def score(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The reward of an answer, and what each principle alone says of it."""
        prompt, completion = _prompt(asked), _text(asked, "completion")
        shown = _principles(asked)
        reward = self._reward
        tokens = count_tokens(policy_codec(self.run.reward_spec()), completion, ())
        breakdown = reward([Rollout.from_text(prompt, completion, n_tokens=tokens, principles=shown)])[0]
        alone: list[float] = []
        if RM in reward.names:
            sets: list[tuple[ShownPrinciple, ...]] = [(), *((each,) for each in shown)]
            alone = reward.score_texts([(prompt.messages, completion, sets)])[0]
        weights = [1.0 if each.weight is None else each.weight for each in shown]
        scores = list(zip(shown, weights, alone[1:], strict=False))
        by = [
            {"label": label(each), "text": each.text, "weight": weight, "score": score}
            for each, weight, score in scores
        ]
        mean = sum(weight * score for _, weight, score in scores) / sum(weights) if scores and sum(weights) else None
        return {
            "total": breakdown.total,
            "components": dict(breakdown.components),
            "raw": dict(breakdown.raw),
            "vetoed": list(breakdown.vetoed),
            "truncated": breakdown.truncated,
            "tokens": tokens,
            "by": by,
            "none": alone[0] if alone else None,
            "mean": mean,
            "combine": self.run.config.config.reward.combine,
        }

    def write(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """An answer of the policy."""
        from salmon_core.seeing.trying import answers_by, policies

        found, note = policies(self.run)
        by = dict(found)
        who = asked.get("by") if asked.get("by") in by else found[-1][0]
        temperature = min(max(float(asked.get("temperature") or 0.0), 0.0), 2.0)
        (answer,) = answers_by(self.run, by[str(who)], _prompt(asked), temperature, 1)
        return {"text": answer.text, "stopped": answer.stopped, "by": who, "note": note}

    def read(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The text that the reward model reads, in sections."""
        from salmon_core.seeing.texts import show_rollout

        prompt = _prompt(asked)
        if isinstance(row := asked.get("row"), int) and row >= 0:
            conversation = self._prompt_of(row)
            if conversation is not None and conversation.text == prompt.text:
                prompt = conversation
        found = show_rollout(self.run, prompt, _text(asked, "completion"), _principles(asked))
        texts = [
            {
                "title": text.title,
                "tokens": sum(text.counts),
                "sections": [{"kind": each.kind, "text": each.text} for each in text.sections],
            }
            for text in found.texts
        ]
        cut = f"; {found.cut} tokens of prompt and answer are cut" if found.cut else ""
        return {"texts": texts, "note": f"{found.model}; {found.note}{cut}"}

    def _prompt_of(self, row: int) -> Prompt | None:
        """The conversation of a row of the training's prompts."""
        file = self.run.stage(STAGE).path / "rl_prompts.parquet"
        if not file.is_file():
            return None
        table = open_table(file).select(["row", "prompt_id", "messages", "category"])
        for each in rows_of(table, file):
            if each["row"] == row:
                messages = tuple({"role": m["role"], "content": m["content"]} for m in each["messages"])
                return Prompt(each["prompt_id"], messages, each["category"] or "general")  # type: ignore[arg-type]
        return None

    def steer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Looks what a change would do, or puts it on the record."""
        change, words = self._change(asked)
        begin, until = _count(asked, "from_rollout"), _count(asked, "until_rollout")
        reason = str(asked.get("reason") or "")
        write = bool(asked.get("apply"))
        if change.what == "undo" and until is not None:
            raise SalmonError("an undo has no end", where="until")
        entry = steer(self.run, change, from_rollout=begin, until_rollout=until, reason=reason, write=write)
        words += [] if begin is None else ["--from-rollout", str(begin)]
        words += [] if until is None else ["--until", str(until)]
        words += ["--reason", reason] if reason else []
        command = shlex.join(["salmon", "steer", str(self._folder), *words])
        effect = None
        if not write and change.what == "principle":
            from salmon_core.seeing.effect import effect as effect_of

            shown = ShownPrinciple(change.name, change.text or "", change.negated, veto=change.veto)
            found = effect_of(self.run, shown)
            effect = None if found is None else asdict(found)
        return {"entry": asdict(entry), "words": entry.words, "command": command, "effect": effect}

    def _change(self, asked: Mapping[str, Any]) -> tuple[Change, list[str]]:
        """What `salmon steer` would be told, and the words that tell it."""
        what, name = asked.get("what"), str(asked.get("name") or "").strip()
        if what == "add":
            text = str(asked.get("text") or "")
            return added(text), ["--add", text]
        if what == "principle":
            own = str(asked.get("set") or "").strip() or None
            negate = bool(asked.get("negate"))
            words = ["--principle", name, *(["--negate"] if negate else [])]
            return named(self.run, name, negate=negate, from_set=own), words + (["--from-set", own] if own else [])
        if what in ("weight", "bonus"):
            try:
                value = float(asked.get("value"))  # type: ignore[arg-type]  # what is none is said below
            except (TypeError, ValueError):
                raise SalmonError("is no number", where="value") from None
            if not name:
                raise SalmonError("is empty", where="name")
            return Change(what, name, value=value), [f"--{what}", f"{name}={value:g}"]
        if what == "undo":
            number = _count(asked, "undoes")
            if number is None:
                raise SalmonError("say which", where="undo")
            return Change("undo", undoes=number), ["--undo", str(number)]
        raise SalmonError("say what to do", hint="add, principle, weight, bonus or undo")

    def propose(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What could forbid what an alarm is about, tried on the reward model."""
        from salmon_core.seeing.proposing import chosen_alarm, proposals

        alarm = chosen_alarm(self.run, _count(asked, "alarm"))
        sets = [str(each) for each in asked.get("sets") or () if str(each).strip()] or list(SETS)
        found = proposals(self.run, alarm, sets)
        return {"alarm": alarm, "proposals": [each.document() for each in found]}


def _prompt(asked: Mapping[str, Any]) -> Prompt:
    text = _text(asked, "prompt")
    if not text.strip():
        raise SalmonError("is empty", where="prompt")
    return Prompt.from_text(text, id=prompt_id(({"role": "user", "content": text},)))


def _text(asked: Mapping[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str):
        raise SalmonError("is no text", where=name)
    return value.encode("utf-8", "replace").decode()


def _count(asked: Mapping[str, Any], name: str) -> int | None:
    value = asked.get(name)
    if value in (None, ""):
        return None
    try:
        number = int(str(value))
    except (TypeError, ValueError):
        raise SalmonError("is no whole number", where=name) from None
    if not 0 <= number < 10**12:
        raise SalmonError(f"cannot be {number}", where=name)
    return number


def _principles(asked: Mapping[str, Any]) -> tuple[ShownPrinciple, ...]:
    """As they are to be shown; one of weight 0 is not."""
    found: list[ShownPrinciple] = []
    for each in asked.get("principles") or ():
        text = str(each.get("text") or "").strip()
        weight = each.get("weight")
        if not text or weight == 0:
            continue
        name = str(each.get("name") or "") or name_of(text)
        own = None if weight is None else float(weight)
        found.append(ShownPrinciple(name, text, bool(each.get("negated")), own, bool(each.get("veto"))))
    return tuple(found)


def main(argv: Sequence[str] | None = None) -> None:
    """Answers until its input ends."""
    words = list(sys.argv[1:] if argv is None else argv)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    worker = Worker(Path(words[0]), file_plugins="--no-file-plugins" not in words)
    for line in sys.stdin:
        try:
            said: dict[str, Any] = {"is": worker.answer(json.loads(line))}
        except SalmonError as error:
            said = {"error": str(error), "hint": error.hint}
        except Exception as error:  # a request must not end those after it
            said = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(said, ensure_ascii=True, default=str) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
