"""The harness's tasks, found and loaded; what is wrong with one is said in one line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from salmon_core.errors import DataError, SalmonError
from salmon_lm_eval.options import Options

#: names of errors that say that a data set cannot be had
_LACKING = (
    "DatasetNotFoundError",
    "DataFilesNotFoundError",
    "OfflineModeIsEnabled",
    "LocalEntryNotFoundError",
    "ConnectionError",
    "ConnectTimeout",
    "FileNotFoundError",
)
_OPT_IN = "set confirm_run_unsafe_code: true, and HF_ALLOW_CODE_EVAL=1 in the environment, if you want that"


class Tasks:
    """The tasks that options name.

    Args:
        options: of the evaluator; paths among them are absolute.
    """

    def __init__(self, options: Options):
        from lm_eval.tasks import TaskManager

        self._options = options
        self._paths = [Path(name) for name in options.tasks if os.path.isabs(name)]
        folders = [path if path.is_dir() else path.parent for path in self._paths]
        missing = [name for name in options.include if not os.path.isdir(name)]
        if missing:
            raise SalmonError(f"there is no folder {missing[0]!r}", where="lm-eval, include")
        include = [*map(Path, options.include), *folders]
        every = len(self._paths) < len(options.tasks)  # the harness's own are many, and take seconds to read
        self._manager = TaskManager(include_path=list(dict.fromkeys(map(str, include))), include_defaults=every)

    def check(self) -> None:
        """What can be known without a model, and without a data set that would have to be fetched.

        Raises:
            SalmonError: a task is unknown, broken, runs code that is not allowed, or its data cannot be had offline.
        """
        for name, folder in self._named():
            for leaf, config in self._leaves(name):
                if config.get("unsafe_code"):
                    self.allow(leaf)
                if _offline() and not callable(config.get("custom_dataset")) and "class" not in config:
                    _have(leaf, config, folder)

    def load(self) -> list[Any]:
        """Tasks and groups of the harness, with their data.

        Raises:
            SalmonError: as `check`, or data cannot be had.
        """
        found: list[Any] = []
        for name, folder in self._named():
            with contextlib.chdir(folder or Path.cwd()), _told(name):
                loaded = self._manager.load([name])
            groups, tasks = loaded.get("groups", {}), loaded["tasks"]
            inner = {each.name for group in groups.values() for each in group.get_all_groups(recursive=False)}
            within = {task.task_name for group in groups.values() for task in group.get_all_tasks()}
            found += [group for key, group in groups.items() if key not in inner]
            found += [task for key, task in tasks.items() if key not in within]
            for key, task in tasks.items():
                if getattr(task, "UNSAFE_CODE", False):
                    self.allow(key)
        return found

    def allow(self, name: str) -> None:
        """Raises SalmonError where code that a model wrote may not be run."""
        if not self._options.confirm_run_unsafe_code or os.environ.get("HF_ALLOW_CODE_EVAL") != "1":
            raise SalmonError("runs code that the model wrote", where=f"lm-eval, task {name}", hint=_OPT_IN)

    def _named(self) -> Iterator[tuple[str, Path | None]]:
        """What is to be loaded, and the folder that paths in it start from."""
        for given in self._options.tasks:
            path = Path(given)
            if not path.is_absolute():
                self._known(given)
                yield given, None
            elif path.is_dir():
                yield from ((name, path) for name in self._in_folder(path))
            else:
                yield str(path), path.parent

    def _known(self, name: str) -> None:
        names = self._manager.all_tasks
        if name not in names:
            near = get_close_matches(name, names, n=3)
            raise SalmonError(
                f"the harness has no task {name!r}",
                where="lm-eval, tasks",
                hint=f"did you mean {' or '.join(near)}?"
                if near
                else "`lm-eval ls tasks` lists them; a path has to exist",
            )

    def _in_folder(self, path: Path) -> list[str]:
        """Groups and tasks of a folder, but for those that are in one of its groups."""
        from lm_eval.tasks._index import TaskIndex

        for file in sorted(path.glob("**/*.yaml")):
            _read(file)
        index = TaskIndex.build([path])
        own = [name for name, entry in index.items() if entry.kind.name in ("GROUP", "TASK", "PY_TASK")]
        within = {leaf for name in own if index[name].kind.name == "GROUP" for leaf in _members(index[name].cfg or {})}
        if not own:
            raise SalmonError("has no task", where=str(path), hint="a task is a YAML file with the key `task`")
        return [name for name in own if name not in within]

    def _leaves(self, name: str, seen: frozenset[str] = frozenset()) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The tasks behind a name, with their configurations as their files have them."""
        if name in seen:
            return
        entry = self._manager.task_index.get(name)
        if entry is None and os.path.isabs(name):
            config = _read(Path(name))
            members, label = _members(config), str(config.get("task") or config.get("group") or name)
        elif entry is None:  # a group's own, written in its place
            return
        else:
            config, label = entry.cfg or {}, name
            members = sorted(entry.tags) if entry.kind.name == "TAG" else _members(config)
        if not members:
            yield label, config
        for member in members:
            yield from self._leaves(member, seen | {name})


def _members(config: Mapping[str, Any]) -> list[str]:
    """Names in a group."""
    inner = config.get("task")
    if not isinstance(inner, list):
        return []
    return [str(each if isinstance(each, str) else each.get("task") or each.get("group")) for each in inner]


def _read(file: Path) -> Mapping[str, Any]:
    """A task's file; names of functions are not looked up.

    Raises:
        DataError: it is no task.
    """
    from lm_eval.tasks._yaml_loader import load_yaml

    try:
        config: Mapping[str, Any] = load_yaml(file, resolve_func=False)
    except Exception as error:
        said = " ".join(str(error).split())
        raise DataError(f"is no task: {said or type(error).__name__}", where=str(file), hint=_SHAPE) from None
    return config


_SHAPE = (
    "a task is a YAML file as the harness's own are, with the keys task, dataset_path, output_type, doc_to_text, ..."
)


def _have(name: str, config: Mapping[str, Any], folder: Path | None) -> None:
    """Whether a task's data is here."""
    import datasets

    if config.get("dataset_path") is None:
        return
    given = dict(config.get("dataset_kwargs") or {})
    wanted = {key: value for key, value in given.items() if key not in ("trust_remote_code", "streaming")}
    with contextlib.chdir(folder or Path.cwd()), _told(name, config):
        datasets.load_dataset_builder(config["dataset_path"], config.get("dataset_name"), **wanted)


@contextlib.contextmanager
def _told(name: str, config: Mapping[str, Any] | None = None) -> Iterator[None]:
    """What the harness or `datasets` raises in the block is said of the task."""
    try:
        yield
    except SalmonError:
        raise
    except Exception as error:
        causes = list(_causes(error))
        said = " ".join(str(error).split())[:300]
        where = f"lm-eval, task {name}"
        if any(type(each).__name__ in _LACKING for each in causes):
            what = "a data set" if config is None else f"the data set {config['dataset_path']}"
            hint = (
                "HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set: fetch it once without, on a machine with a network"
                if _offline()
                else "look at the task's dataset_path, and at your network"
            )
            raise DataError(f"{what} cannot be had: {type(error).__name__}: {said}", where=where, hint=hint) from None
        raise SalmonError(
            f"the harness cannot load it: {type(error).__name__}: {said}", where=where, hint=_SHAPE
        ) from None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _offline() -> bool:
    import datasets
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE or datasets.config.HF_HUB_OFFLINE)


def names(tasks: Sequence[Any]) -> list[str]:
    """Of what `Tasks.load` gave."""
    return [str(getattr(each, "task_name", None) or each.name) for each in tasks]
