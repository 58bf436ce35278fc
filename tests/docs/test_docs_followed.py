"""Pages followed to the letter: a bonus becomes a package, an engine keeps its contract, a backend trains."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from doc_pages import ROOT, copy_example, environment, follow

#: pip builds with what is installed, and asks no index
PIP = {"PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def fresh_venv(folder: Path) -> Path:
    """A new environment that sees the packages of this one, so that torch is not installed again; its `bin`."""
    venv.create(folder, with_pip=False, symlinks=True)
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    known = [path for path in sys.path if path.endswith("site-packages")]
    # addsitedir, since editable installs are .pth files themselves.
    (site / "shared.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in known))
    programs = folder / "bin"
    for name, module in (("salmon", "salmon_core"), ("pip", "pip")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{programs}/python" -m {module} "$@"\n')
        (programs / name).chmod(0o755)
    return programs


@pytest.mark.slow
def test_the_first_bonus(tmp_path: Path) -> None:
    """Files written from the page, built and installed by pip, run by the real command, seen in the log."""
    folder = copy_example(tmp_path / "own-model")
    programs = fresh_venv(tmp_path / "venv")
    env = environment(programs) | PIP
    follow(ROOT / "docs" / "first-bonus.md", folder, env)
    for run in ("calm", "calm-installed"):
        lines = map(json.loads, (folder / "runs" / run / "events.jsonl").read_text().splitlines())
        steps = [line for line in lines if line["event"] == "StepLogged" and line["stage"] == "train-policy"]
        values = [step["values"]["reward/calm/mean"] for step in steps]
        assert len(values) == 4
        assert all(-2 <= value <= 0 for value in values)
        assert any(value < 0 for value in values)
    saved = json.loads((folder / "runs" / "calm-installed" / "train-policy" / "manifest.json").read_text())
    (bonus,) = saved["made_from"]["reward"]["bonuses"]
    assert (bonus["label"], bonus["weight"]) == ("calm", 2.0)
    assert (bonus["component"]["plugin"], bonus["component"]["version"]) == ("salmon-calm", "0.1.0")
    installed = subprocess.run(
        [programs / "python", "-c", "import salmon_calm; print(salmon_calm.__file__)"],
        env=env,
        capture_output=True,
        text=True,
    )
    assert installed.stdout.startswith(str(tmp_path / "venv"))


@pytest.mark.slow
def test_an_engine_of_ones_own(tmp_path: Path) -> None:
    """Three files, which are those of the package that other tests install; it is installed, and keeps the contract."""
    programs = fresh_venv(tmp_path / "venv")
    follow(ROOT / "docs" / "engines.md", tmp_path, environment(programs) | PIP)
    shipped = ROOT / "tests" / "fixtures" / "plugins" / "salmon-bytes"
    for name in ("salmon_bytes/__init__.py", "pyproject.toml", "test_salmon_bytes.py"):
        assert (tmp_path / "salmon-bytes" / name).read_text() == (shipped / name).read_text()


@pytest.fixture(scope="module")
def best_of_n(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's folder after the page on backends was followed."""
    folder = copy_example(tmp_path_factory.mktemp("best") / "own-model")
    follow(ROOT / "docs" / "own-backend.md", folder, environment())
    return folder


@pytest.mark.slow
def test_a_backend_of_ones_own_trains(best_of_n: Path) -> None:
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    stage = best_of_n / "runs" / "best" / "train-policy"
    assert AutoModelForCausalLM.from_pretrained(stage / "model").num_parameters() > 80_000
    assert AutoTokenizer.from_pretrained(stage / "model").chat_template
    before, after = (load_file(path / "model.safetensors") for path in (best_of_n / "model", stage / "model"))
    assert any(bool((before[name] != after[name]).any()) for name in before)
    report = json.loads((best_of_n / "runs" / "best" / "report.json").read_text())
    assert report["algorithm"] == "best-of-n"
    assert report["stages"]["train-policy"]["metrics"]["steps"] == len((stage / "steps.jsonl").read_text().splitlines())


@pytest.mark.slow
def test_it_resumes_to_the_same_weights(best_of_n: Path, tmp_path: Path) -> None:
    """Stopped in the second step and started again, as the page promises."""
    from safetensors.torch import load_file

    whole = best_of_n / "runs" / "best" / "train-policy"
    part = tmp_path / "train-policy"
    part.mkdir()
    shutil.copy(whole / "job.json", part)
    argv = [sys.executable, str(best_of_n / "best_of_n.py"), "job.json"]
    source = (best_of_n / "best_of_n.py").read_text()
    saving = '        save(model, tokenizer, folder / f"checkpoint-{step}")'
    assert source.count(saving) == 1
    halted = source.replace(saving, f"        if step == 2:\n            raise SystemExit(9)\n{saving}")
    (tmp_path / "halted.py").write_text(halted)
    first = subprocess.run([sys.executable, tmp_path / "halted.py", "job.json"], cwd=part, env=environment())
    assert first.returncode == 9
    assert len((part / "steps.jsonl").read_text().splitlines()) == 2
    assert subprocess.run(argv, cwd=part, env=environment()).returncode == 0
    one, other = (load_file(folder / "model" / "model.safetensors") for folder in (whole, part))
    assert all(bool((one[name] == other[name]).all()) for name in one)
    assert (part / "steps.jsonl").read_text() == (whole / "steps.jsonl").read_text()
