"""What writers that are language models are asked, and what is kept of their answers."""

from __future__ import annotations

import re

#: everyday requests that a small language model can answer in a few sentences
REQUESTS = (
    "How do I keep basil alive on a windowsill?",
    "What is a good way to learn ten new words a day?",
    "Why do leaves change colour in autumn?",
    "How can I fall asleep faster?",
    "What should I pack for a day at the beach?",
    "How does a bicycle stay upright?",
    "What makes bread rise?",
    "How do I write a short thank-you note?",
    "Why is the sea salty?",
    "How do I clean a wooden table?",
    "What is a good breakfast before a long walk?",
    "How do I remember people's names?",
    "Why do cats purr?",
    "How can a family save water at home?",
    "What is the difference between weather and climate?",
    "How do I make a simple tomato soup?",
    "How do I start a small vegetable garden?",
    "What can I do on a rainy Sunday?",
    "How do I prepare for a job interview?",
    "Why does ice float on water?",
    "How do I teach a child to tie shoelaces?",
    "What is a library good for?",
    "How do I repair a flat bicycle tyre?",
    "How do bees make honey?",
    "What should I do when I lose my keys?",
    "How do I choose a book for a friend?",
)
#: what is added to a request, so that its answers differ in what programs can see; rows do not show it
MANNERS = (
    "",
    "Answer in one short sentence.",
    "Answer with a numbered list.",
    "Answer with a bulleted list and a heading.",
    "Tell how you did it yourself last year, in the first person.",
    "Answer briefly, and end with a question.",
)
#: a sentence's end that is no number of a list
_END = re.compile(r"(?<![0-9])[.!?][\"')*]*(?=\s|$)")


def whole(text: str, stopped: bool) -> str:
    """An answer without what a limit of length cut off: up to the end of its last whole sentence; "" if it has none."""
    text = "\n".join(line.rstrip() for line in text.strip().splitlines())
    if stopped:
        return text
    ends = [match.end() for match in _END.finditer(text)]
    return text[: ends[-1]].rstrip() if ends else ""
