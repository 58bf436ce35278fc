"""A reward model from its folder, without a run: `load_reward(path)(prompt, completion, principles)`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from salmon_core.api.models import ModelSpec
from salmon_core.api.principles import Principle
from salmon_core.api.reward import Veto
from salmon_core.closing import Closing
from salmon_core.data.shown import shown_as
from salmon_core.errors import SalmonError
from salmon_core.plugins.engines import open_model
from salmon_core.plugins.options import validate_options
from salmon_core.plugins.registry import Registry
from salmon_core.records import Message, Prompt, RewardBreakdown, Rollout, ShownPrinciple, prompt_id
from salmon_core.reward.reading import label
from salmon_core.reward.rendering import Renderer
from salmon_core.reward.reward import Reward
from salmon_core.reward.scorers import ability_of, scorer_of
from salmon_core.sharing.document import KnownPrinciple, RewardDocument, read_document
from salmon_core.sharing.facts import HUB_ID

#: a principle as a caller names it: a name (`kind`, `not kind`) of the model's own, any text, or an object
AnyPrinciple = str | ShownPrinciple | Principle | Mapping[str, Any]
#: what is scored at once
_BATCH = 256
#: of a model on the hub; weights in other forms than safetensors are not fetched
_FETCHED = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")


class LoadedReward(Closing):
    """A reward model with the template, limits and principles that it was trained with; a context manager.

    Scores of a Bradley-Terry model compare only under the same prompt and principles.

    Attributes:
        document: what its `salmon.json` says.
    """

    def __init__(self, document: RewardDocument, reward: Reward, folder: Path):
        self.document, self._reward, self._folder = document, reward, folder
        both = (each.shown(negated=negated) for each in document.principles for negated in (False, True))
        self._known = {label(shown): shown for shown in both if shown is not None}

    @property
    def principles(self) -> tuple[KnownPrinciple, ...]:
        """Those that it was trained on."""
        return self.document.principles

    def __call__(
        self,
        prompt: str | Sequence[Message],
        completion: str,
        principles: AnyPrinciple | Iterable[AnyPrinciple] | None = None,
    ) -> RewardBreakdown:
        """The reward of one completion.

        Args:
            prompt: a user's turn, or a conversation that ends with one.
            principles: one or several; None: all that it was trained on; an empty list: none.

        Returns:
            `total`, the score, and how it came about.

        Raises:
            SalmonError: no such principle, no conversation, or no room for prompt and completion.
        """
        return self.batch([(prompt, completion)], principles)[0]

    def batch(
        self,
        items: Iterable[tuple[str | Sequence[Message], str]],
        principles: AnyPrinciple | Iterable[AnyPrinciple] | None = None,
    ) -> list[RewardBreakdown]:
        """The same for many (prompt, completion), under the same principles."""
        shown = self.shown(principles)
        return self.score([_rollout(prompt, completion, shown) for prompt, completion in items])

    def score(self, rollouts: Sequence[Rollout]) -> list[RewardBreakdown]:
        """The same for rollouts, each with the principles that it carries."""
        parts = [rollouts[start : start + _BATCH] for start in range(0, len(rollouts), _BATCH)]
        return [breakdown for part in parts for breakdown in self._reward(part)]

    def score_texts(
        self, texts: Sequence[tuple[Sequence[Message], str, Sequence[Sequence[ShownPrinciple]]]]
    ) -> list[list[float]]:
        """The model's own scores of (conversation, completion, sets of principles): one per set, each a text.

        What the texts of a completion share is read once.
        """
        return self._reward.score_texts(texts)

    def shown(self, principles: AnyPrinciple | Iterable[AnyPrinciple] | None = None) -> tuple[ShownPrinciple, ...]:
        """Principles as the model is shown them.

        Raises:
            SalmonError: one that is none.
        """
        if principles is None:
            own = (principle.shown() for principle in self.principles)
            return tuple(shown for shown in own if shown is not None)
        one = isinstance(principles, str | ShownPrinciple | Principle | Mapping)
        return tuple(map(self._shown, [principles] if one else principles))  # type: ignore[arg-type]

    def close(self) -> None:
        """Frees the model; may be called more than once."""
        self._reward.close()

    def _shown(self, each: Any) -> ShownPrinciple:
        if isinstance(each, ShownPrinciple):
            return each
        return each.shown() if isinstance(each, Principle) else shown_as(each, self._known, f"{self._folder}")


def load_reward(
    path: str | Path,
    *,
    device: str = "auto",
    dtype: str | None = None,
    combine: Literal["joint", "mean"] | None = None,
    veto: Veto | None = None,
    engine: str | None = None,
) -> LoadedReward:
    """A reward model that the stage `train-rm` left, or that `salmon push` put on the hub.

    Args:
        path: its folder, or its id on the hub.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        dtype: None: as it was trained.
        combine: how several principles make one score; None: as its `salmon.json` says.
        veto: what becomes of an answer that breaks a principle which is a hard rule; None: it counts as others do.
        engine: that opens it; None: the installed default.

    Raises:
        SalmonError: no such model, no `salmon.json`, or the engine cannot open it.
    """
    folder = _folder(path)
    document = read_document(folder)
    template, registry = document.to_template(), Registry.discover()
    owned = registry.default("engines") if engine is None else registry.find("engines", engine)
    chosen = validate_options(owned, {}, "engine", Path.cwd())
    spec = ModelSpec(
        str(folder),
        dtype=dtype or document.dtype,
        device=device,
        fallback_chat_template=document.chat_template,
        conversational=document.conversational,
    )
    scorer = scorer_of(open_model(registry, chosen, spec, ability_of(template)), template)
    try:
        limits, plain = document.to_limits(), document.to_forbidden()
        renderer = Renderer(template, scorer.codec, limits=limits, plain=plain)
        weights = {principle.name: principle.weight for principle in document.principles}
        reward = Reward(
            scorer=scorer,
            renderer=renderer,
            combine=combine or document.combine,
            weights=weights,
            veto=veto,
            rm_owner=chosen.owner,
            owns_scorer=True,
        )
    except BaseException:
        scorer.close()
        raise
    return LoadedReward(document, reward, folder)


def _folder(path: str | Path) -> Path:
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise SalmonError("is a file, not a model folder", where=str(path))
    if not isinstance(path, str) or not HUB_ID.fullmatch(path):
        raise SalmonError("no such model folder", where=str(path), hint="give a folder, or a hub id like owner/name")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(path, allow_patterns=list(_FETCHED)))
    except Exception as error:  # of the network, of the hub, of a cache that is not there
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        hint = "check the id, the network, and access rights"
        raise SalmonError(f"cannot fetch it: {first}", where=path, hint=hint) from None


def _rollout(prompt: str | Sequence[Message], completion: str, principles: tuple[ShownPrinciple, ...]) -> Rollout:
    if isinstance(prompt, str):
        asked = Prompt.from_text(prompt)
    else:
        messages = tuple(prompt)
        ends = bool(messages) and all(
            isinstance(turn, Mapping) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)
            for turn in messages
        )
        if not ends or messages[-1]["role"] != "user":
            raise SalmonError(
                "is no text and no conversation that ends with a user's turn",
                where="prompt",
                hint='a turn is {"role": "user", "content": "..."}',
            )
        asked = Prompt(prompt_id(messages), messages)
    if not isinstance(completion, str):
        raise SalmonError(f"is a {type(completion).__name__}, not a text", where="completion")
    return Rollout.from_text(asked, completion, n_tokens=0, principles=principles)
