"""`salmon new`: a plugin to start from, as a package or as a single file, with the test of its kind."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rich.markup import escape

import salmon_core
from salmon_core.cli.authoring import NEW_KINDS, NewKind
from salmon_core.cli.output import OUT
from salmon_core.data.files import write_text
from salmon_core.errors import SalmonError
from salmon_core.plugins.registry import Registry

SKELETONS = Path(__file__).parent / "skeletons"
#: so long that lines with the name stay within 120 characters
_LONGEST = 30
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
#: at the end of a line of a skeleton: it is of the one form only
_ONLY = re.compile(r" *#\[(file|package)\]$")


def new_plugin(word: str, name: str, path: Path | None, *, file: bool) -> None:
    """Writes a plugin of the kind `word`; nothing that is there is written over.

    Args:
        word: a key of `NEW_KINDS`.
        name: of the component, as a configuration will write it.
        path: the package's folder, by default `salmon-NAME`; of a file, the folder that it goes into, by default this.
        file: a single file and its test, instead of a package.

    Raises:
        SalmonError: the name cannot be one or is taken, or something is in the way.
    """
    kind = NEW_KINDS[word]
    if file and not kind.file:
        raise SalmonError(
            f"a {word} is no single file",
            where="--file",
            hint="only an installed package can offer one; leave --file out",
        )
    name = _checked(name)
    _free_to_name(kind, name)
    values = _values(word, kind, name)
    # Links are not followed: one that leads nowhere is in the way, too.
    folder = Path(os.path.abspath(os.path.expanduser(path or ("." if file else values["distribution"]))))
    if file:
        written = _write_file(word, kind, values, folder)
        folder_hint = "" if folder == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
        following = f"{folder_hint}python -m pytest -q {written[-1].name}"
    else:
        _free_to_install(values)
        written = _write_package(word, kind, values, folder)
        following = f'pip install -e "{folder}[dev]", then pytest {shlex.quote(str(folder))}'
    for each in written:
        OUT.print(escape(f"written {each}"))
    OUT.print(escape(f"next: {following}"))


def _checked(name: str) -> str:
    """The name without the `salmon-` of a distribution."""
    short = name.removeprefix("salmon-")
    if not _NAME.fullmatch(short):
        raise SalmonError(
            f"{name!r} is no name for a plugin", where="NAME", hint="small letters, digits and single dashes: my-plugin"
        )
    if len(short) > _LONGEST:
        raise SalmonError(f"the name has {len(short)} characters", where="NAME", hint=f"at most {_LONGEST}")
    return short


def _free_to_name(kind: NewKind, name: str) -> None:
    """
    Raises:
        SalmonError: a component of that kind has the name, so that configurations which name it would be ambiguous.
    """
    for owned in Registry.discover().components(kind.kind):
        if owned.name == name:
            taken = f"{owned.owner.distribution} has a component {name!r} of the kind {kind.kind}"
            raise SalmonError(
                taken, where="NAME", hint="choose another name, so that a configuration need not say whose"
            )
    if kind.kind == "commands":
        from salmon_core.cli.main import main

        if name in main.commands:
            raise SalmonError(f"salmon has a command {name!r}", where="NAME", hint="choose another name")


def _values(word: str, kind: NewKind, name: str) -> dict[str, str]:
    """What stands for `@...@` in the skeletons."""
    snake = name.replace("-", "_")
    camel = "".join(part.capitalize() for part in name.split("-"))
    major, minor = salmon_core.__version__.split(".")[:2]
    values = {
        "name": name,
        "variable": snake,
        "Class": camel + word.capitalize(),
        "CONSTANT": snake.upper(),
        "distribution": f"salmon-{name}",
        "package": f"salmon_{snake}",
        "module": word,
        "Kind": f"{'An' if word[0] in 'aeiou' else 'A'} {word}"
        if word not in ("principles", "prompts")
        else word.title(),
        "plural": kind.kind,
        "summary": (kind.summary[0].lower() + kind.summary[1:]).rstrip("."),
        "core": f"salmon-core>={major}.{minor},<{major}.{int(minor) + 1}",
        "needs": "".join(f', "{each}"' for each in kind.needs),
    }
    use = _filled(kind.use, values)
    values["use"] = f"```console\n{use}\n```" if kind.console else f"In a configuration:\n\n```yaml\n{use}\n```"
    return values


def _free_to_install(values: Mapping[str, str]) -> None:
    """
    Raises:
        SalmonError: the package would take the place of one that is installed.
    """
    distribution, package = values["distribution"], values["package"]
    try:
        version = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        if importlib.util.find_spec(package) is None:
            return
        taken = f"a module {package} is installed already"
    else:
        taken = f"{distribution} {version} is installed already"
    raise SalmonError(taken, where="NAME", hint="choose another name, so that neither takes the place of the other")


def _write_package(word: str, kind: NewKind, values: Mapping[str, str], folder: Path) -> list[Path]:
    """All of it or nothing: written beside the folder, which is then named."""
    if os.path.lexists(folder):
        raise SalmonError("is there already", where=str(folder), hint="choose another --path, or move it away")
    package = f"src/{values['package']}"
    target = f'"{values["package"]}.{word}:{_filled(kind.target, values)}"'
    files = {
        "pyproject.toml": _skeleton("package/pyproject.toml", values),
        "README.md": _skeleton("package/README.md", values),
        f"{package}/__init__.py": f'"""{values["Kind"]} for salmon-core: {values["summary"]}."""\n',
        f"{package}/plugin.py": _skeleton("package/plugin.py", values).rstrip("\n")
        + "\n"
        + _hook(kind, values, target),
        f"{package}/{word}.py": _docstring(values) + _skeleton(f"{word}/code.py", values, form="package"),
        f"{package}/py.typed": "",
        f"tests/test_{values['variable']}.py": _test(word, values, f"from {values['package']} import plugin as tested"),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for relative, text in files.items():
            write_text(aside / relative, text)
        aside.chmod(0o777 & ~_umask())
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return [folder / relative for relative in files]


def _write_file(word: str, kind: NewKind, values: Mapping[str, str], folder: Path) -> list[Path]:
    module = values["variable"]
    if importlib.util.find_spec(module) is not None and not (folder / f"{module}.py").exists():
        raise SalmonError(
            f"a module {module} is installed, which {module}.py would hide", where="NAME", hint="choose another name"
        )
    code, test = folder / f"{module}.py", folder / f"test_{module}.py"
    for path in (code, test):
        if os.path.lexists(path):
            raise SalmonError("is there already", where=str(path), hint="choose another name, or move it away")
    text = _docstring(values) + _skeleton(f"{word}/code.py", values, form="file")
    # `if __name__ == "__main__":` stays last
    body, main, rest = text.partition('\n\nif __name__ == "__main__":')
    text = body.rstrip("\n") + "\n" + _hook(kind, values, _filled(kind.target, values)) + main + rest
    write_text(code, text)
    write_text(test, _test(word, values, f'tested = Path(__file__).with_name("{module}.py")'))
    return [code, test]


# -- texts -------------------------------------------------------------------------------------------------------------


def _skeleton(path: str, values: Mapping[str, str], *, form: str = "package") -> str:
    text = (SKELETONS / f"{path}.txt").read_text(encoding="utf-8")
    return _filled(_of_form(text, form), values)


def _filled(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"@(\w+)@", lambda found: values[found[1]], text)


def _of_form(text: str, form: str) -> str:
    """Without the lines of the other form; where all lines between two empty ones go, one of these goes as well."""
    kept: list[str] = []
    gone = False
    for line in text.split("\n"):
        only = _ONLY.search(line)
        if only and only[1] != form:
            gone = True
            continue
        if gone and not line and kept and not kept[-1]:
            continue
        gone = False
        kept.append(_ONLY.sub("", line))
    return "\n".join(kept)


def _docstring(values: Mapping[str, str]) -> str:
    return f'"""{values["Kind"]} for salmon: {values["summary"]}."""\n\n'


def _hook(kind: NewKind, values: Mapping[str, str], target: str) -> str:
    return (
        f"\n\n@hookimpl\ndef salmon_{kind.kind}() -> Iterable[Component]:\n"
        f'    yield Component(\n        "{values["name"]}",\n        {target},\n        "{kind.summary}",\n    )\n'
    )


def _test(word: str, values: Mapping[str, str], finding: str) -> str:
    """The test; `finding` says what is tested, as `tested`."""
    text = _skeleton(f"{word}/test.py", {**values, "import": finding})
    if not finding.startswith("from "):
        text = _with_path(text)
    head = (
        '"""What every plugin of this kind keeps to, and what this one does."""\n\nfrom __future__ import annotations\n'
    )
    return f"{head}\n{text}"


def _with_path(text: str) -> str:
    """With `Path` imported."""
    line = "from pathlib import Path\n"
    if line in text:
        return text
    lines = text.splitlines(keepends=True)
    standard = [i for i, each in enumerate(lines) if re.match(r"(from|import) (?!salmon|click|pydantic)\w", each)]
    place = max((i + 1 for i in standard if lines[i].split()[1] < "pathlib"), default=0)
    lines.insert(place, line if standard else line + "\n")
    return "".join(lines)


def _umask() -> int:
    """Of this process, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
