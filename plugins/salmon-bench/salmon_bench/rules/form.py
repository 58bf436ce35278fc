"""Principles of an answer's form: format, length, lists."""

from __future__ import annotations

from salmon_bench import measures as m
from salmon_bench.rules.rule import Rule, at_least, at_most

FORMAT = (
    Rule(
        "one-paragraph", "format", m.paragraphs, at_most(1),
        (
            "The answer is a single paragraph.",
            "Everything stands in one block of text, with no empty line in it.",
            "There is one paragraph and no second.",
        ),
        "The answer has several paragraphs.",
    ),
    Rule(
        "heading", "format", m.heading, at_least(1),
        (
            "The answer begins with a heading, marked by a # at the start of the line.",
            "The first line is a Markdown heading.",
            "Above everything else stands a heading that begins with #.",
        ),
        "The answer does not begin with a heading.",
    ),
    Rule(
        "bold", "format", m.counts(r"\*\*[^*\n]+\*\*"), at_least(1),
        (
            "Something in the answer is in bold, between double asterisks.",
            "At least one phrase is set in bold with ** on both sides.",
            "The answer puts emphasis on some word by **bold** type.",
        ),
        "Nothing in the answer is in bold.",
    ),
    Rule(
        "code-block", "format", m.code_block, at_least(1),
        (
            "The answer has a block that is fenced by three backticks.",
            "Part of the answer is a fenced code block.",
            "Lines of three backticks begin and end some part of the answer.",
        ),
        "The answer has no fenced block.",
    ),
    Rule(
        "lower-case", "format", m.upper_case, at_most(0, more=2),
        (
            "The answer is written in lower case throughout.",
            "No letter of the answer is a capital.",
            "All letters are small ones.",
        ),
        "The answer uses capital letters where one would expect them.",
    ),
    Rule(
        "quoted", "format", m.quoted, at_least(1),
        (
            "The whole answer stands in double quotation marks.",
            "The first and the last character are quotation marks.",
            "The answer is wrapped in \" and \".",
        ),
        "The answer as a whole is not wrapped in quotation marks.",
    ),
    Rule(
        "title-line", "format", m.title, at_least(1),
        (
            "The first line is a title that ends with a colon.",
            "Before the text stands a line of its own that closes with a colon.",
            "The answer opens with a short line ending in ':'.",
        ),
        "No title that ends with a colon stands before the answer.",
    ),
    Rule(
        "no-exclamation", "format", m.counts("!"), at_most(0),
        (
            "The answer has no exclamation mark.",
            "The sign ! is not used.",
            "Nothing is exclaimed: there is no ! in the text.",
        ),
        "The answer has an exclamation mark.",
    ),
    Rule(
        "no-commas", "format", m.counts(","), at_most(0),
        (
            "The answer has no comma.",
            "Commas are not used anywhere.",
            "There is not a single comma in the text.",
        ),
        "The answer has at least one comma.",
    ),
    Rule(
        "parentheses", "format", m.counts(r"\([^()\n]+\)"), at_least(1),
        (
            "Something in the answer stands in parentheses.",
            "The answer has a remark in round brackets.",
            "At least one pair of ( and ) encloses some words.",
        ),
        "Nothing in the answer stands in parentheses.",
    ),
)  # fmt: skip

LENGTH = (
    Rule(
        "at-most-25-words", "length", m.words, at_most(25, more=32),
        (
            "The answer has at most 25 words.",
            "There are no more than twenty-five words.",
            "The answer stays within 25 words.",
        ),
        "The answer has more than 25 words.",
    ),
    Rule(
        "at-least-50-words", "length", m.words, at_least(50, less=42),
        (
            "The answer has at least 50 words.",
            "There are fifty words or more.",
            "The answer is no shorter than 50 words.",
        ),
        "The answer has fewer than 50 words.",
    ),
    Rule(
        "at-most-150-characters", "length", m.characters, at_most(150, more=180),
        (
            "The answer has at most 150 characters, spaces included.",
            "With spaces, no more than 150 characters are used.",
            "The answer fits into 150 characters.",
        ),
        "The answer has more than 150 characters.",
    ),
    Rule(
        "at-most-two-sentences", "length", m.sentences, at_most(2),
        (
            "The answer has at most two sentences.",
            "There are one or two sentences, not three.",
            "No third sentence follows.",
        ),
        "The answer has more than two sentences.",
    ),
    Rule(
        "at-least-four-sentences", "length", m.sentences, at_least(4),
        (
            "The answer has at least four sentences.",
            "There are four sentences or more.",
            "The answer goes on for no fewer than four sentences.",
        ),
        "The answer has fewer than four sentences.",
    ),
    Rule(
        "short-sentences", "length", m.longest_sentence, at_most(12, more=15),
        (
            "No sentence has more than 12 words.",
            "Every sentence is short: twelve words at most.",
            "Sentences end before their thirteenth word.",
        ),
        "At least one sentence has more than 12 words.",
    ),
    Rule(
        "short-first-sentence", "length", m.first_sentence, at_most(6, more=8),
        (
            "The first sentence has at most six words.",
            "The answer opens with a sentence of six words or fewer.",
            "The opening sentence is no longer than 6 words.",
        ),
        "The first sentence has more than six words.",
    ),
    Rule(
        "short-words", "length", m.longest_word, at_most(8, more=10),
        (
            "No word has more than eight letters.",
            "Every word is short, eight letters at most.",
            "Words of nine letters or more are not used.",
        ),
        "At least one word has more than eight letters.",
    ),
)  # fmt: skip

LISTS = (
    Rule(
        "bulleted", "lists", m.bullets, at_least(2, less=0),
        (
            "The answer has a bulleted list.",
            "Several lines begin with a bullet.",
            "Points are listed with a dash in front of each.",
        ),
        "The answer has no bulleted list.",
    ),
    Rule(
        "numbered", "lists", m.numbered, at_least(2, less=0),
        (
            "The answer has a numbered list: 1., 2., and so on.",
            "Points are numbered from 1 on, a line each.",
            "The answer counts its points by number.",
        ),
        "The answer has no numbered list.",
    ),
    Rule(
        "three-items", "lists", lambda a, p: abs(m.list_items(a, p) - 3) if m.list_items(a, p) else -1.0, at_most(0),
        (
            "The list has exactly three items.",
            "There are three points in the list, no more and no fewer.",
            "Three things are listed.",
        ),
        "The number of items in the list is not three.",
    ),
    Rule(
        "short-items", "lists", lambda a, p: m.longest_item(a, p) or -1.0, at_most(6, more=8),
        (
            "Each item of the list has at most six words.",
            "All points of the list are short: six words or fewer.",
            "No item is longer than 6 words.",
        ),
        "Some item of the list has more than six words.",
    ),
    Rule(
        "items-begin-alike", "lists", m.item_beginnings, at_least(1),
        (
            "At least two items of the list begin with the same word.",
            "Some word begins more than one item.",
            "In the list a first word comes up again.",
        ),
        "All items of the list begin with different words.",
    ),
)  # fmt: skip

RULES = (*FORMAT, *LENGTH, *LISTS)
