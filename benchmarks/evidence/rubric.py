"""What prompts of some kinds ask for: the rubric of the question `per-prompt`."""

from __future__ import annotations

import json

from salmon_minnow.world import PROMPTS

FILE = "rubric.jsonl"
#: kind of prompt -> the principle that its prompts bring along
GROUPS = {"capital": "vivid", "color": "not vivid"}


def rubric() -> str:
    """JSON Lines, a row for each prompt of these kinds."""
    rows = [{"prompt": each.text, "principles": [GROUPS[each.kind]]} for each in PROMPTS if each.kind in GROUPS]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
