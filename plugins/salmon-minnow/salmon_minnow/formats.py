"""The texts of the minnow world: what the policy continues, what the judge answers, what the reward model scores.

The markers are special tokens, so encoding the parts of a text one by one gives the same tokens as encoding it whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from salmon_core.api.templates import Preamble, Template
from salmon_core.reward.rendering import fill

#: What the tokenizer pads with and ends a turn with.
PAD, EOS = "<|pad|>", "<|eos|>"
#: Markers of judge and reward texts: the second output, a principle, its end, and the verdict's place.
OTHER, RULE, END, VERDICT = "<|other|>", "<|rule|>", "<|end|>", "<|verdict|>"

#: Where an answer that runs on writes the next turn of the user.
LEAK = "\nUser:"

#: The judge's two answers: the first output is better, or the second. Each is one token.
CHOICES = ("A", "B")

#: How `plugin:minnow-base` is asked to follow principles: few words, each of them a token where that is possible.
PREAMBLE = Preamble(
    task="",
    hidden="",
    thorough="",
    principle=f"{RULE}{{principle}}{END}",
    worked=f"\nUser: {{instruction}}\nThought:\n{{thought}}\nAssistant:\n{{completion}}{EOS}",
    plain=f"\nUser: {{instruction}}\nAssistant:\n{{completion}}{EOS}",
    inventing="",
    invented=f"\nTopic: {{topic}}, {{kind}}\nUser: {{instruction}}{EOS}",
    markers=(),
)

TEMPLATE = Template(
    judge=f"User: {{instruction}}\nAssistant:\n{{first}}{OTHER}{{second}}",
    principle=f"{RULE}{{principle}}{END}",
    verdict=VERDICT,
    reward="User: {instruction}\nAssistant:\n{completion}",
    score=VERDICT,
    markers=(OTHER, RULE, END, VERDICT),
    choices=CHOICES,
    turn="{role}: {content}\n",
    stop=(LEAK,),
    preamble=PREAMBLE,
)

#: Renders a conversation for the policy; a single user turn becomes `policy_text(prompt)`.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{- 'Assistant:\\n' + message['content'] + eos_token + ('' if loop.last else '\\n') -}}"
    "{%- elif message['role'] == 'user' -%}"
    "{{- 'User: ' + message['content'] + '\\n' -}}"
    "{%- else -%}"
    "{{- message['content'] + '\\n' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- 'Assistant:\\n' -}}{%- endif -%}"
)


def cut_leak(completion: str) -> str:
    """A completion up to a leaked next turn."""
    return completion.split(LEAK, 1)[0]


def policy_text(prompt: str) -> str:
    """What the policy continues."""
    return f"User: {prompt}\nAssistant:\n"


def rules_text(rules: Sequence[str]) -> str:
    """The principles of a judge or reward text, and the verdict's place."""
    return "".join(fill(TEMPLATE.principle, {"principle": rule}) for rule in rules) + TEMPLATE.verdict


def pair_text(prompt: str, first: str, second: str) -> str:
    """The part of a judge text that all principles share."""
    return fill(TEMPLATE.judge, {"instruction": prompt, "first": first, "second": second})


def reward_text(prompt: str, completion: str, rules: Sequence[str]) -> str:
    """A whole reward text; its last token, EOS, is the position that is scored."""
    return fill(TEMPLATE.reward, {"instruction": prompt, "completion": completion}) + rules_text(rules) + EOS
