"""Takes off the frames in which others put principles, and leaves a statement about one response.

`Choose the response that is kinder.` asks for a comparison; what a judge or a reward model is shown says what a
response is like: `The response is kinder.`
"""

from __future__ import annotations

import re

_NOUN = r"(?:response|answer|repl(?:y|ie)|output|completion|message|text)"
_OF = r"(?:assistant|AI|chatbot|model|bot)"
_WHOSE = rf"(?:(?:{_OF}(?:['’]s)?)\s+)?"
_CHOOSE = r"(?:choose|select|pick|prefer|favou?r|rank higher|identify|find)"
_FRAMES = [
    re.compile(
        rf"(?:please\s+)?{_CHOOSE}\s+(?:the|an?|whichever)?\s*{_WHOSE}(?P<noun>{_NOUN}s?)\s+(?:that|which)(?P<rest>\W.*)",
        re.I | re.S,
    ),
    re.compile(
        rf"which\s+(?:one\s+)?(?:of\s+(?:the|these)\s+)?(?:two\s+)?{_WHOSE}(?P<noun>{_NOUN}s?)(?P<rest>\s.*)\?",
        re.I | re.S,
    ),
]
_QUESTION = re.compile(
    rf"(?P<verb>is|does|has|can|could|would|will|should|must)\s+(?:the|this)\s+{_WHOSE}{_NOUN}\s+(?P<rest>.*)\?",
    re.I | re.S,
)
_LABEL = re.compile(r"(essential|important|optional|required|bonus|pitfall)(?:\s+criteri(?:a|on))?\s*:\s+(?=\S)", re.I)
_SINGULAR = {"are": "is", "have": "has", "do": "does", "were": "was"}
#: begin a relative clause whose subject is the response; so does whatever ends in `s` or `ly`
_VERB = re.compile(
    r"is|was|has|does|would|could|can|should|will|may|might|must|more|most|less|least|best|better|never|not|neither|both"
    r"|only|also|always"
)
_SUBJECTS = frozenset(["this", "his", "its", "us", "as", "yours", "ours", "hers", "theirs", "others"])
_ABBREVIATED = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|approx|no|dr|mr|mrs|ms|st)|(?:^|\s)[a-z])\.$", re.I)
_END = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s|$)")


def sentences(text: str) -> list[str]:
    """A text's sentences, each with its end; white space between them is left out."""
    found, start = [], 0
    for end in _END.finditer(text):
        if not _ABBREVIATED.search(text[start : end.end()]):
            found.append(text[start : end.end()].strip())
            start = end.end()
    return [*found, rest] if (rest := text[start:].strip()) else found


def unlabelled(text: str) -> tuple[str, str]:
    """A text without a label before it such as `Pitfall:`, and the label in lower case; empty where there is none."""
    found = _LABEL.match(text)
    if found is None:
        return text, ""
    rest = text[found.end() :]
    return rest[0].upper() + rest[1:], found[1].lower()


def statement(text: str) -> str:
    """The text with every framed sentence as a statement; one without any frame as it is."""
    parts = sentences(text)
    stated = [_stated(part) for part in parts]
    return text if stated == parts else " ".join(stated)


def _stated(sentence: str) -> str:
    for frame in _FRAMES:
        if found := frame.fullmatch(sentence):
            said = _clause(re.sub(r"^['’]s\b", " is", found["rest"]).strip(" ,"), found["noun"].lower().endswith("s"))
            return _ended(f"The response {said}") if said else sentence
    if found := _QUESTION.fullmatch(sentence):
        return _ended(f"The response {found['verb'].lower()} {found['rest']}")
    return sentence


def _clause(rest: str, several: bool) -> str:
    """A relative clause as what is said of the response."""
    first, _, further = rest.partition(" ")
    word = first.lower()
    if word in _SINGULAR:
        return f"{_SINGULAR[word]} {further}"
    own = _VERB.fullmatch(word) or (word[-1:] == "s" and word not in _SUBJECTS) or word.endswith("ly")
    if own or not rest.strip(".!? "):
        return rest.strip() if own else ""
    return f"is {'one of those' if several else 'one'} that {rest}"


def _ended(sentence: str) -> str:
    return sentence.rstrip().rstrip(".?!") + "."
