"""Run in OpenRLHF's interpreter in place of `openrlhf.cli.train_rm`, with the same arguments: keeps a trained head.

OpenRLHF's command gives every reward model a fresh head. Where one goes on from another, as after pre-training, its
head is a part of what was trained. No salmon is installed here; see `prepare.py`.
"""

from __future__ import annotations

import runpy
from typing import Any

PROGRAM = "openrlhf.cli.train_rm"


def main() -> None:
    import openrlhf.models

    load = openrlhf.models.get_llm_for_sequence_regression

    def keeping(*arguments: Any, **options: Any) -> Any:
        return load(*arguments, **{**options, "init_value_head": False})

    openrlhf.models.get_llm_for_sequence_regression = keeping
    runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
