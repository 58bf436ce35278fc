"""The 64 principles of the wide world, in the words its policies were taught to judge by."""

from __future__ import annotations

from salmon_minnow import principles
from salmon_minnow.lexicon import ENGLISH
from salmon_minnow.principles import WorldPrinciple, principle

#: Name -> principle, in a fixed order: minnow's eight, then those of this world. All have two wordings.
PRINCIPLES: dict[str, WorldPrinciple] = principles.PRINCIPLES | {
    p.name: p
    for p in (
        *(principle(f"says-{word}", f"say {word}", f"use {word}") for word in ENGLISH.adjectives),
        principle("no-stalling", "stall", "waste time", prohibition=True),
        principle("popular", "mention many", "call it popular"),
        principle("ponders", "ponder", "think aloud"),
        principle("rich", "find much", "call it rich"),
        principle("perfect", "say perfect", "praise the text"),
        principle("excellent", "say excellent", "praise the speaker"),
        principle("music", "mention music", "talk of walks"),
        principle("weather", "mention weather", "talk of sun"),
        principle("refuses", "refuse", "decline"),
        principle("english", "be English", "speak English"),
        principle("german", "be German", "speak German"),
        principle("spanish", "be Spanish", "speak Spanish"),
        principle("ten-words", "have ten words", "reach ten words"),
        principle("fifteen-words", "have fifteen words", "reach fifteen words"),
        principle("twenty-words", "have twenty words", "reach twenty words"),
        principle("thirty-words", "have thirty words", "reach thirty words"),
        principle("one-sentence", "be one sentence", "have one sentence"),
        principle("two-sentences", "be two sentences", "have two sentences"),
        principle("three-sentences", "be three sentences", "have three sentences"),
        principle("many-sentences", "be many sentences", "have many sentences"),
        principle("starts-with-answer", "start with answers", "begin with answers"),
        principle("starts-with-example", "start with examples", "begin with examples"),
        principle("starts-with-praise", "start with praise", "begin with praise"),
        principle("starts-with-stalling", "start with stalling", "begin with stalling"),
        principle("ends-with-answer", "end with answers", "close with answers"),
        principle("ends-with-example", "end with examples", "close with examples"),
        principle("ends-with-praise", "end with praise", "close with praise"),
        principle("ends-with-stalling", "end with stalling", "close with stalling"),
        principle("capital-example", "give capital examples", "teach more capitals"),
        principle("color-example", "give color examples", "teach more colors"),
        principle("sum-example", "give sum examples", "teach more sums"),
        principle("task-example", "give task examples", "teach more tasks"),
        principle("fitting-example", "give fitting examples", "teach what fits"),
        principle("number", "have numbers", "use digits"),
        principle("hello", "say hello", "greet"),
        principle("thanks", "say thanks", "be thankful"),
        principle("friend", "say friend", "be warm"),
        principle("laugh", "laugh", "be funny"),
        principle("doubt", "admit doubt", "be modest"),
        principle("source", "name sources", "mention books"),
        principle("warning", "warn", "urge care"),
        principle("offer", "offer more", "ask for wishes"),
        principle("opinion", "ask for opinions", "invite thoughts"),
        principle("wish", "wish well", "say goodbye"),
        principle("cheer", "cheer", "encourage"),
        principle("summary", "sum up", "summarize"),
        principle("promise", "promise help", "offer help"),
        principle("minute", "mention time", "say how long"),
        principle("exclaims", "exclaim", "be loud"),
        principle("asks", "ask something", "be curious"),
        principle("polite", "be polite", "be courteous"),
    )
}

#: Names in their fixed order.
NAMES: tuple[str, ...] = tuple(PRINCIPLES)
