"""What a configuration may say of self-align: all that is wrong is said at once, with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from core_world import make_folder

from salmon_core.config.resolve import load
from salmon_core.errors import ConfigError
from salmon_core.pipeline import Pipeline
from salmon_core.principles.files import bundled_dir, load_principle_set
from salmon_core.principles.worked import read_exemplars, read_topics
from salmon_core.reward.preamble import names
from salmon_core.stages.self_align import question_for


def problems(folder: Path, **changes: Any) -> list[str]:
    config = make_folder(folder, **changes)
    with pytest.raises(ConfigError) as failed:
        load(config)
    return [f"{each.place}: {each.message}" for each in failed.value.problems]


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "worked.yaml").write_text(
        "exemplars:\n  - {prompt: a?, answer: b, applies: [nobody]}\n  - {prompt: c?, answer: d, thought: short}\n"
    )
    (tmp_path / "topics.yaml").write_text(
        "topics: [a, a]\nkinds: [x]\nquestions: [{topic: a, kind: x, prompt: Who?}]\n"
    )
    own = {
        "model": "./gone",
        "engine": "nowhere",
        "principles": {"name": "rules.yaml", "negate": True},
        "show_principles": 3,
        "exemplars": "worked.yaml",
        "questions": {"topics": "topics.yaml"},
        "verbose": {"principles": "nobody.yaml", "exemplars": "gone.yaml"},
    }
    found = "\n".join(problems(tmp_path, self_align=own))
    for said in (
        "self_align.model: there is no model",
        "self_align.engine: no engine",
        "self_align.principles.negate: demonstrations follow",
        "self_align.show_principles: is 3, and there are 2",
        "exemplars[0].applies: goes by 'nobody'",
        "exemplars[0].thought: is empty",
        "topics: has 'a' twice",
        "self_align.verbose.exemplars: there is no file 'gone.yaml'",
        "nobody.yaml",
    ):
        assert said in found, found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sft": {}}, "sft.data: is needed"),
        ({"self_align": {"prompts": "run", "questions": {"generate": 5}}}, "self_align.questions: means nothing"),
        ({"self_align": {"show_exemplars": 9}}, "self_align.show_exemplars: is 9, and exemplars.yaml has 6"),
        ({"self_align": {"questions": {"show": 40}}}, "self_align.questions.show: is 40"),
        ({"self_align": {"principles": "rules.yaml"}}, "exemplars[0].applies: goes by 'recall'"),
        ({"self_align": {"samples": 0, "promts": "run"}}, "did you mean 'prompts'?"),
        ({"self_align": {"questions": {"min_words": 9, "max_words": 3}}}, "`max_words` 3 is below `min_words` 9"),
        ({"self_align": {"exemplars": "rules.yaml"}}, "exemplars: is required"),
    ],
)
def test_one_error_each(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    found = problems(tmp_path, **changes)
    assert any(said in each for each in found), found


def stages(folder: Path, **changes: Any) -> tuple[str, ...]:
    return Pipeline(load(make_folder(folder, **changes))).stages


def test_it_stands_before_sft_which_it_brings_along(tmp_path: Path) -> None:
    assert stages(tmp_path, self_align={})[:4] == ("prompts", "self-align", "sft", "sample")
    assert "self-align" not in stages(tmp_path)


def test_topics_meet_each_kind_once_before_one_comes_again() -> None:
    topics = read_topics(bundled_dir() / "self-align" / "topics.yaml")
    count = len(topics.topics) * len(topics.kinds)
    drawn = [(each.topic, each.kind) for each in (question_for(topics, i, 7) for i in range(count))]
    assert len(set(drawn)) == count
    assert drawn != [(each.topic, each.kind) for each in (question_for(topics, i, 8) for i in range(count))]
    assert question_for(topics, 5, 7) == question_for(topics, 5, 7)


def test_the_bundled_files_go_together() -> None:
    principles = load_principle_set("self-align")
    assert 16 <= len(principles) <= 17
    exemplars = read_exemplars(bundled_dir() / "self-align" / "exemplars.yaml", principles.names, thoughts=True)
    assert len(exemplars) == 6
    for each in exemplars:
        assert each.applies
        for name in each.applies:
            assert names(each.thought, principles[name]), (name, each.thought)
        assert not any(names(each.answer, principle) and "-" in principle.name for principle in principles)
    topics = read_topics(bundled_dir() / "self-align" / "topics.yaml")
    known = {name for name, _ in topics.kinds}
    assert all(each.topic in topics.topics and each.kind in known for each in topics.questions)
