"""The minnow tokenizer: byte-level, so that it spells any text, with one token for every word of the world."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from salmon_minnow.formats import CHAT_TEMPLATE, END, EOS, OTHER, PAD, RULE, VERDICT
from salmon_minnow.lexicon import LEXICONS, Lexicon
from salmon_minnow.principles import PRINCIPLES, UNSEEN_WORDING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: Ids 0, 1, ... in this order.
SPECIAL_TOKENS = (PAD, EOS, OTHER, RULE, END, VERDICT)


def texts() -> Iterator[str]:
    """Texts that together hold every word of the world, in every position (turn-initial or not) it can take."""
    yield from ("User: \n", "Assistant:\n", "A", "B", "should")
    yield " " + " ".join(str(number) for number in range(11))
    for lexicon in LEXICONS.values():
        yield from _sentences(lexicon)
        for word in _words(lexicon):
            yield word
            yield f" {word}"
    for principle in PRINCIPLES.values():
        yield from principle.texts + principle.negated_texts
    yield UNSEEN_WORDING


def _words(lexicon: Lexicon) -> Iterator[str]:
    for words in (lexicon.countries, lexicon.capitals, lexicon.things, lexicon.colors, lexicon.adjectives):
        yield from words
    for table in (lexicon.tasks, lexicon.harms):
        for task, steps in table.items():
            yield from (task, *steps)


def _sentences(lexicon: Lexicon) -> Iterator[str]:
    templates = [way for ways in lexicon.questions.values() for way in ways]
    templates += [*lexicon.answers.values(), *lexicon.examples.values()]
    for template in templates + lexicon.greetings + lexicon.off_topic + lexicon.fillers + lexicon.praises:
        # Slots become spaces-in-place: what is left are the words of the template with their leading spaces.
        sentence = template.replace("[", "").replace("]", "")
        while "{" in sentence:
            head, rest = sentence.split("{", 1)
            sentence = head + "a" + rest.split("}", 1)[1]
        yield sentence
        yield f" {sentence}"


def build(more: Iterable[str] = ()) -> PreTrainedTokenizerFast:
    """Build the tokenizer from the lexicon.

    Args:
        more: texts whose words are tokens as well.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = {piece for text in (*texts(), *more) for piece, _ in pre_tokenizer.pre_tokenize_str(text)}
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = [*SPECIAL_TOKENS, *alphabet, *sorted(words - set(alphabet))]
    # `ignore_merges` takes a whole word that is in the vocabulary as it stands; other words are spelt in bytes.
    tokenizer = Tokenizer(
        models.BPE(vocab={token: i for i, token in enumerate(vocabulary)}, merges=[], ignore_merges=True)
    )
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        additional_special_tokens=[OTHER, RULE, END, VERDICT],
        chat_template=CHAT_TEMPLATE,
        model_max_length=1024,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
