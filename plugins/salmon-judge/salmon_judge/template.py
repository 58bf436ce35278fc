"""The default wording of judge, reward model and (for tokenizers without a chat template) policy prompts.

Where parts meet, and before the judge's answer, stands a closed marker and a line break: GPT-2's, Llama 3's and
SentencePiece's ways of splitting text all make a boundary there that no token crosses. So pieces encode as the whole
does, and the answer, a letter at the beginning of a line, is a token of its own. (After an opening bracket
it need not be: Llama 3 and Qwen have a token `(a`.)
"""

from __future__ import annotations

from salmon_core.api.templates import Template

_ROLES = ("system", "user", "assistant", "tool")

STANDARD = Template(
    judge=(
        "Below are an instruction, two responses to it, and a principle. Decide which response follows the principle"
        " better, by the principle alone.\n"
        "[[instruction]]\n{instruction}\n"
        "[[response a]]\n{first}\n"
        "[[response b]]\n{second}\n"
        "[[judged by]]\n"
    ),
    rewordings=(
        "Someone gave the instruction below, and two answers came back. One rule counts here, and nothing else: which"
        " of the two keeps to it more closely?\n"
        "[[instruction]]\n{instruction}\n"
        "[[response a]]\n{first}\n"
        "[[response b]]\n{second}\n"
        "[[judged by]]\n",
    ),
    principle="[[principle]] {principle} [[end of principle]]\n",
    question="Which response follows the principle better, a or b?\n",
    verdict="[[verdict]]\n",
    choices=("a", "b"),
    reward=(
        "Below are an instruction, a response to it, and one or more principles. Decide how well the response follows"
        " the principles, by the principles alone.\n"
        "[[instruction]]\n{instruction}\n"
        "[[response]]\n{completion}\n"
        "[[judged by]]\n"
    ),
    score="How well does the response follow the principles?\n[[verdict]]",
    plain=(
        "Below are an instruction and a response to it. Decide how good the response is to whoever gave the"
        " instruction.\n"
        "[[instruction]]\n{instruction}\n"
        "[[response]]\n{completion}\n"
        "[[judged by]]\n",
        "How good is the response as a whole?\n[[verdict]]",
    ),
    # Without their ends, so that variations of a marker are forbidden as well.
    markers=(
        "[[instruction",
        "[[response",
        "[[judged by",
        "[[principle",
        "[[end of principle",
        "[[verdict",
        *(f"[[{role}" for role in _ROLES),
    ),
    turn="[[{role}]]\n{content}\n",
    chat=(
        "{% for message in messages %}{{ '[[' + message['role'] + ']]\\n' + message['content'] + '\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '[[assistant]]\\n' }}{% endif %}"
    ),
    stop=("\n[[user]]", "[[user]]"),
)
