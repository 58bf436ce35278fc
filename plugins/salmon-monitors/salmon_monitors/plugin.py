"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core import Component, hookimpl


@hookimpl
def salmon_monitors() -> Iterable[Component]:
    """Each in a module of its own."""
    for name, target, about in (
        ("stock-phrases", "stock_phrases:StockPhrases", "phrases that are rewarded and spread whatever is asked"),
        ("captured", "captured:Captured", "one bonus carries what the reward gains"),
        ("drift", "drift:Drift", "much longer or shorter answers, or answers that no longer end"),
        ("repetition", "repetition:Repetition", "answers that repeat themselves, or that are all the same"),
        ("outliers", "outliers:Outliers", "rewards far above all others"),
        ("entropy", "entropy:Entropy", "a policy that has one thing left to say"),
    ):
        yield Component(name, f"salmon_monitors.{target}", about, default=True)
    for name, target, about in (
        (
            "over-optimised",
            "over_optimised:OverOptimised",
            "the reward rises while an oracle prefers what was there before",
        ),
        ("second-opinion", "second_opinion:SecondOpinion", "the same by a judge, or by another reward model"),
        ("disagreement", "disagreement:Disagreement", "principles in other words rank answers otherwise than before"),
    ):
        yield Component(name, f"salmon_monitors.{target}", about)
