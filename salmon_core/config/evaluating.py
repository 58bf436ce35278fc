"""Who judges for single evaluators, looked up."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from salmon_core.api.models import ModelSpec
from salmon_core.api.templates import Template
from salmon_core.config.lookup import Lookup
from salmon_core.config.names import resolve_model
from salmon_core.config.run_config import JudgeChoice


def evaluation_judges(look: Lookup, template: Template | None) -> Mapping[int, JudgeChoice]:
    """The judges of evaluators that have one of their own, by their place in the configuration.

    Args:
        template: by which a judge is asked.
    """
    policy, found = look.config.policy, {}
    for index, choice in enumerate(look.config.evaluate):
        own = choice.judge
        if own is None:
            continue
        where = f"evaluate[{index}].judge"
        model = None
        if own.model not in (None, "policy"):
            path = look.attempt(f"{where}.model", partial(resolve_model, look.registry, own.model, look.base))
            if path is not None:
                model = ModelSpec(
                    path,
                    dtype=policy.dtype,
                    device=policy.device,
                    trust_remote_code=policy.trust_remote_code,
                    fallback_chat_template=None if template is None else template.chat,
                )
        found[index] = JudgeChoice(
            None if own.judge is None else look.select("judges", own.judge, f"{where}.judge"),
            None if own.engine is None else look.select("engines", own.engine, f"{where}.engine"),
            model,
            own.model == "policy",
            own.form,
        )
    return found
