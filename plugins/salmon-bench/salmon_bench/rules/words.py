"""Principles of an answer's words: required and forbidden ones, shapes of sentences, arithmetic."""

from __future__ import annotations

import re

from salmon_bench import measures as m
from salmon_bench.rules.rule import Rule, at_least, at_most

WORDS = (
    Rule(
        "says-because", "words", m.any_of(("because",)), at_least(1),
        (
            "The answer has the word because.",
            "The word because is used at least once.",
            "Some reason is given with the word because.",
        ),
        "The word because is not used.",
    ),
    Rule(
        "says-for-example", "words", m.counts(r"\bfor example\b", re.IGNORECASE), at_least(1),
        (
            "The answer has the words for example.",
            "An example is announced by the words for example.",
            "Somewhere stands: for example.",
        ),
        "The words for example are not used.",
    ),
    Rule(
        "says-however", "words", m.any_of(("however",)), at_least(1),
        (
            "The answer has the word however.",
            "A contrast is marked with the word however.",
            "The word however comes up.",
        ),
        "The word however is not used.",
    ),
    Rule(
        "says-please", "words", m.any_of(("please",)), at_least(1),
        (
            "The answer says please.",
            "The word please is used.",
            "The answer asks with the word please.",
        ),
        "The word please is not used.",
    ),
    Rule(
        "no-fillers", "words", m.fillers, at_most(0),
        (
            "None of these words is used: very, really, just, quite, actually, basically, simply, literally.",
            "The answer does without very, really, just, quite, actually, basically, simply and literally.",
            "Words that fill are left out: very, really, just, quite, actually, basically, simply, literally.",
        ),
        "At least one of these words is used: very, really, just, quite, actually, basically, simply, literally.",
    ),
    Rule(
        "no-hedges", "words", m.hedges, at_most(0),
        (
            "The answer does not hedge with maybe, perhaps, possibly, probably, might, may, could, seems or likely.",
            "None of maybe, perhaps, possibly, probably, might, may, could, seems, likely stands in the answer.",
            "It is said outright, without maybe, perhaps, possibly, probably, might, may, could, seems, likely.",
        ),
        "The answer hedges with a word such as maybe, perhaps, probably, might, may or could.",
    ),
    Rule(
        "no-contractions", "words", m.contractions, at_most(0),
        (
            "There are no contractions such as don't or it's.",
            "Words are written out: do not, it is.",
            "No word is shortened with an apostrophe.",
        ),
        "There is a contraction such as don't or it's.",
    ),
    Rule(
        "no-letter-z", "words", m.counts("z", re.IGNORECASE), at_most(0),
        (
            "The letter z does not occur.",
            "No word has a z in it.",
            "The answer does without the last letter of the alphabet.",
        ),
        "The letter z occurs.",
    ),
)  # fmt: skip

SHAPES = (
    Rule(
        "ends-as-question", "shapes", m.ends_as_question, at_least(1),
        (
            "The answer ends with a question.",
            "The last sentence asks something.",
            "A question mark is the last character.",
        ),
        "The answer does not end with a question.",
    ),
    Rule(
        "all-end-in-a-period", "shapes", m.ends_in_period, at_least(1, less=0.8),
        (
            "Every sentence ends with a full stop.",
            "All sentences close with a period, none with another sign.",
            "There is a period at the end of each sentence.",
        ),
        "Not every sentence ends with a full stop.",
    ),
    Rule(
        "different-beginnings", "shapes", m.same_beginnings, at_most(0),
        (
            "No two sentences begin with the same word.",
            "Every sentence begins with another word.",
            "First words of sentences do not repeat.",
        ),
        "At least two sentences begin with the same word.",
    ),
    Rule(
        "begins-with-yes-or-no", "shapes", m.begins_with("yes", "no"), at_least(1),
        (
            "The first word is yes or no.",
            "The answer begins with a yes or a no.",
            "Before anything else it says yes, or no.",
        ),
        "The first word is neither yes nor no.",
    ),
    Rule(
        "ends-with-in-short", "shapes", m.last_begins_with("in short"), at_least(1),
        (
            "The last sentence begins with the words in short.",
            "A sentence that opens with in short closes the answer.",
            "It is summed up at the end, by a sentence that begins with in short.",
        ),
        "The last sentence does not begin with the words in short.",
    ),
    Rule(
        "ends-as-it-begins", "shapes", m.repeats, at_least(1),
        (
            "The last sentence is the first one once more.",
            "The answer ends with the sentence that it began with.",
            "Its first sentence is repeated word for word at the end.",
        ),
        "The last sentence is another one than the first.",
    ),
    Rule(
        "takes-up-the-question", "shapes", m.question_words, at_least(0.6, less=0.2),
        (
            "The first sentence takes up the words of the question.",
            "The answer begins by saying again what was asked.",
            "Most of the question's longer words come up in the first sentence.",
        ),
        "The first sentence does not take up the words of the question.",
    ),
    Rule(
        "has-semicolon", "shapes", m.counts(";"), at_least(1),
        (
            "Two clauses are joined by a semicolon.",
            "There is a semicolon in the answer.",
            "The sign ; is used.",
        ),
        "There is no semicolon.",
    ),
)  # fmt: skip

ARITHMETIC = (
    Rule(
        "right-result", "arithmetic", m.says_the_sum, at_least(1),
        (
            "The last number in the answer is the right result.",
            "The result that it ends on is correct.",
            "What the numbers of the question add up to is said last, and is right.",
        ),
        "The last number in the answer is not the right result.",
    ),
    Rule(
        "right-sums", "arithmetic", m.right_sums, at_least(1, less=0.99),
        (
            "Every sum that is written out is right.",
            "Where the answer writes an equation, both sides are equal.",
            "No equation in it is false.",
        ),
        "Some sum that is written out is wrong.",
    ),
    Rule(
        "writes-the-sum", "arithmetic", m.written_sums, at_least(1),
        (
            "The answer writes the sum out as an equation, as in 2 + 3 = 5.",
            "There is an equation with + and = in the answer.",
            "The calculation is shown with its signs.",
        ),
        "The answer does not write the sum out as an equation.",
    ),
    Rule(
        "numbers-in-words", "arithmetic", m.number_words, at_least(1, less=-50, signed=True),
        (
            "Numbers are written in words, not in digits.",
            "There is no digit: numbers are spelled out.",
            "Each number is a word.",
        ),
        "Numbers are written in digits.",
    ),
    Rule(
        "even-numbers", "arithmetic", m.odd_numbers, at_most(0),
        (
            "All numbers in the answer are even.",
            "There is no odd number in it.",
            "Each number can be halved without a rest.",
        ),
        "At least one number in the answer is odd.",
    ),
    Rule(
        "rising-numbers", "arithmetic", m.falling_numbers, at_most(0),
        (
            "Each number in the answer is larger than the one before.",
            "The numbers rise from the first to the last.",
            "Numbers come in rising order.",
        ),
        "The numbers in the answer do not come in rising order.",
    ),
    Rule(
        "below-fifty", "arithmetic", m.largest_number, at_most(49),
        (
            "No number in the answer reaches 50.",
            "All its numbers are below fifty.",
            "Every number is smaller than 50.",
        ),
        "Some number in the answer is 50 or more.",
    ),
)  # fmt: skip

RULES = (*WORDS, *SHAPES, *ARITHMETIC)
