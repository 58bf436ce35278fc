"""What a run made, put on the hub: weights, tokenizer and a card, and nothing of the trainer's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from salmon_core.data import parquet
from salmon_core.data.json import read_json
from salmon_core.data.preferences import read_preferences
from salmon_core.errors import SalmonError
from salmon_core.records import PreferenceRow
from salmon_core.run.run import Run
from salmon_core.sharing.cards import policy_card, preferences_card, reward_card
from salmon_core.sharing.document import FILE as DOCUMENT
from salmon_core.sharing.document import known_principles, read_document
from salmon_core.sharing.facts import CARD, HUB_ID, Described, Results, RowCounts

What = Literal["reward-model", "policy", "preferences"]
#: where the token is looked for; a token that was stored on this machine is not used
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
#: files of a model that are for everyone; a trainer leaves others
_MODEL = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    DOCUMENT,
)
_STAGES: dict[What, str] = {"reward-model": "train-rm", "policy": "train-policy", "preferences": "label"}
_PREFERENCES = "preferences.parquet"


@dataclass(frozen=True, slots=True)
class Sent:
    """One file: what it is called on the hub, and where it is here, or its text."""

    name: str
    source: Path | bytes

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size


@dataclass(frozen=True, slots=True)
class Upload:
    """What would be sent.

    Attributes:
        left_out: files that stay here.
        missing: what a reader of the card will miss, in words.
    """

    to: str
    kind: Literal["model", "dataset"]
    files: tuple[Sent, ...]
    left_out: tuple[str, ...]
    missing: tuple[str, ...]


def upload_of(run: Run, what: What, to: str, *, license: str = "") -> Upload:
    """What `what` of a run comes to, with a card that has what its report says.

    Args:
        to: OWNER/NAME.
        license: of the publisher's choice; empty: as the base model's card says.

    Raises:
        SalmonError: the run made none, or has not finished it; `to` is no id.
    """
    if not HUB_ID.fullmatch(to) or ".." in to or "--" in to:
        raise SalmonError(f"{to!r} is no id on the hub", where="--to", hint="write OWNER/NAME")
    stage = run.stage(_STAGES[what])
    if stage.manifest.get("status") != "finished":
        made = " (it took one that was there)" if what == "reward-model" and "reward" in run.config.models else ""
        raise SalmonError(
            f"the run has no finished stage {stage.name}{made}, so there is no {what} to push",
            where=str(run.path),
            hint=f"salmon run CONFIG --until {stage.name}",
        )
    if faults := stage.faults(whole=True):
        name, fault = next(iter(faults.items()))
        raise SalmonError(fault, where=str(stage.path / name), hint="salmon run makes it again")
    described = Described.of(run.config, reward_model=what == "reward-model")
    described = replace(described, license=license or described.license)
    results, title = Results.of(read_json(run.path / "report.json")), to.partition("/")[2]
    if what == "preferences":
        return _preferences(run, described, to, title, license)
    folder = stage.need("model")
    sent = [file for file in sorted(folder.iterdir()) if _is_sent(file)]
    left_out = tuple(file.name for file in sorted(folder.iterdir()) if file not in sent and file.name != CARD)
    if what == "reward-model":
        document, rows = read_document(folder), _rows(run)
        own = document.model_copy(update={"combine": described.combine})
        adapter = (folder / "adapter_config.json").is_file()
        card = reward_card(described, own, RowCounts.of(rows), path=to, title=title, results=results, adapter=adapter)
        texts = {CARD: card, DOCUMENT: own.to_json()}
        unknown = [] if results.accuracy else ["how often it is right on held-out prompts (an evaluator tells)"]
    else:
        chat = run.config.models["policy"].fallback_chat_template
        texts = {CARD: policy_card(described, path=to, title=title, results=results, chat_template=chat)}
        unknown = [] if results.targets else ["how answers changed on held-out prompts (an evaluator with targets)"]
    missing = [*_lacking(folder, sent), *([] if described.license else ["a license (--license)"]), *unknown]
    files = [Sent(file.name, file) for file in sent if file.name not in texts]
    files += [Sent(name, text.encode()) for name, text in texts.items()]
    return Upload(to, "model", tuple(sorted(files, key=lambda each: each.name)), left_out, tuple(missing))


def token() -> str:
    """The token that the environment has.

    Raises:
        SalmonError: none.
    """
    for name in TOKENS:
        if found := os.environ.get(name, "").strip():
            return found
    hint = "make one that may write, and set the variable; a token stored on this machine is not used"
    raise SalmonError(f"there is no token in {' or '.join(TOKENS)}", where="salmon push", hint=hint)


def push(upload: Upload, *, private: bool = False) -> str:
    """Sends it, as one commit.

    Returns:
        its address.

    Raises:
        SalmonError: no token; the hub refuses it, has no such owner, or cannot be reached.
    """
    own = token()
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        from huggingface_hub import CommitOperationAdd, HfApi
    except ImportError:
        raise SalmonError("needs huggingface_hub", where="salmon push", hint="pip install 'salmon-core[hub]'") from None
    hub = HfApi(token=own)
    what = "this model" if upload.kind == "model" else "this data set"
    try:
        address = hub.create_repo(upload.to, repo_type=upload.kind, private=private or None, exist_ok=True)
        additions = [
            CommitOperationAdd(each.name, each.source if isinstance(each.source, bytes) else str(each.source))
            for each in upload.files
        ]
        message = f"Push {what.removeprefix('this ')} with salmon-core"
        hub.create_commit(upload.to, additions, commit_message=message, repo_type=upload.kind)
    except Exception as error:  # of the hub, of HTTP, of the network, each library's own
        raise _said(error, upload.to, str(hub.endpoint)) from None
    return str(address)


def _is_sent(file: Path) -> bool:
    return file.is_file() and any(fnmatch(file.name, pattern) for pattern in _MODEL)


def _lacking(folder: Path, sent: list[Path]) -> Iterator[str]:
    names = {file.name for file in sent}
    for what, patterns in (
        ("weights (*.safetensors)", ("*.safetensors",)),
        ("a configuration (config.json)", ("config.json", "adapter_config.json")),
        ("a tokenizer (tokenizer_config.json)", ("tokenizer_config.json",)),
    ):
        if not any(fnmatch(name, pattern) for name in names for pattern in patterns):
            yield what
    base = read_json(folder / "adapter_config.json")
    if isinstance(base, dict) and os.path.isdir(str(base.get("base_model_name_or_path"))):
        yield "a base model that others have: the adapter names a folder of this machine"


def _rows(run: Run) -> Sequence[PreferenceRow]:
    if run.config.preferences is not None:
        return read_preferences(run.config.preferences).rows
    return parquet.Rows(run.stage("label").need(_PREFERENCES), parquet.PREFERENCES, parquet.to_preference)


def _preferences(run: Run, described: Described, to: str, title: str, license: str) -> Upload:
    file, rows = run.stage("label").need(_PREFERENCES), _rows(run)
    known = known_principles(rows, described.judged)
    card = preferences_card(described, _PREFERENCES, RowCounts.of(rows), known, title=title, license=license)
    files = (Sent(CARD, card.encode()), Sent(_PREFERENCES, file))
    return Upload(to, "dataset", files, (), () if license else ("a license (--license)",))


def _said(error: BaseException, to: str, endpoint: str) -> SalmonError:
    """What went wrong, in words: the status that the hub answered with, or that it could not be reached."""
    names: set[str] = set()
    status, cause = 0, error
    first = next(iter(str(error).splitlines()), "") or type(error).__name__
    while True:
        names |= {each.__name__ for each in type(cause).__mro__}
        status = status or int(getattr(getattr(cause, "response", None), "status_code", 0) or 0)
        if cause.__cause__ is None:
            break
        cause = cause.__cause__
    if "OfflineModeIsEnabled" in names:
        return SalmonError("the hub is switched off by HF_HUB_OFFLINE", where=to, hint="unset that variable")
    if status == 401:
        return SalmonError(f"{endpoint} refuses the token (401)", where=to, hint="is it still valid, and may it write?")
    if status == 403:
        owner = to.partition("/")[0]
        return SalmonError(f"the token may not write to {owner!r} (403)", where=to, hint="check its rights, and --to")
    if status == 404:
        return SalmonError(f"{endpoint} knows no such owner or place (404)", where=to, hint="check --to")
    if status:
        return SalmonError(f"{endpoint} answered {status}: {first}", where=to, hint="the same command sends it again")
    if names & {"TransportError", "ConnectionError", "TimeoutError", "ConnectError", "OSError", "RequestException"}:
        said = next(iter(str(cause).splitlines()), "") or type(cause).__name__
        return SalmonError(f"{endpoint} cannot be reached: {said}", where=to, hint="check the network and HF_ENDPOINT")
    return SalmonError(f"cannot push: {first}", where=to)
