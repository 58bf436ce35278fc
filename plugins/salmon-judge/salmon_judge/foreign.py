"""How reward models are asked that were trained elsewhere. Judges are asked by them as by `standard`."""

from __future__ import annotations

from dataclasses import replace

from salmon_core.api.templates import RewardConversation
from salmon_judge.template import STANDARD

_HEADING = "Decide how well the response follows the principles below, by them alone.\n"

#: a scalar model that judges by what it was trained on
CONVERSATION = replace(STANDARD, conversation=RewardConversation())
#: scalar models that read principles; each between its markers, which no turn can forge
CONVERSATION_SYSTEM = replace(STANDARD, conversation=RewardConversation("system", _HEADING))
CONVERSATION_USER = replace(STANDARD, conversation=RewardConversation("user", _HEADING))
#: a language model
YES_NO = replace(
    STANDARD, score="Does the response follow the principles, all in all? Answer yes or no.\n", answers=("yes", "no")
)
