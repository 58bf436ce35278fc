"""A model behind an endpoint, to sample from or to choose with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from salmon_core.api import Chooser, OpenModel, PrefixRequest, Sampler, Sampling, TokenCodec
from salmon_core.calls import within
from salmon_core.errors import SalmonError
from salmon_core.records import Completion, Prompt
from salmon_core.rng import named_rng
from salmon_openai.choosing import Pair, Silence, exactly, listed, voted
from salmon_openai.client import Ask, Endpoint, RefusedError
from salmon_openai.codecs import messages_of
from salmon_openai.options import Options
from salmon_openai.wire import Answer

#: how many alternatives of a token are asked for, most first; some endpoints give fewer
_TOPS = (20, 5)
#: tokens of a vote: some endpoints repeat how the answer begins
_VOTE_TOKENS = 16
#: stop strings that the API takes; all of them are looked for in what comes
_STOPS = 4
#: why a completion ended, in the words of the servers there are
_STOPPED, _LIMITED = ("stop", "eos", "eos_token", "stop_sequence", "end_turn"), ("length", "max_tokens")


class _Remote(OpenModel):
    """A model's endpoint, and how texts are sent there.

    Args:
        codec: of the model, or of salmon's own.
    """

    def __init__(self, options: Options, model: str, codec: TokenCodec):
        self._options, self._codec = options, codec
        self._endpoint: Endpoint | None = Endpoint(options, model, lambda text: len(codec.encode(text)))

    @property
    def codec(self) -> TokenCodec:
        """Its tokenizer, or an estimate of one."""
        return self._codec

    def close(self) -> None:
        """Closes connections and the cache."""
        if self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = None

    @property
    def _open(self) -> Endpoint:
        if self._endpoint is None:
            raise SalmonError("the model was closed", where=self._options.base_url, hint="open it again")
        return self._endpoint

    def _shown(self, text: str) -> dict[str, Any]:
        """A final text, as the API takes it."""
        if self._options.api == "chat":
            return {"messages": messages_of(text)}
        # As ids, so that the server adds no token and reads no special token that is none.
        return {"prompt": self._codec.encode(text)}

    def _tokens(self, text: str) -> Callable[[], int]:
        return lambda: len(self._codec.encode(text))


class RemoteSampler(_Remote, Sampler):
    """Samples from a model behind an endpoint."""

    def sample(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        """Completions of (prompt, its rendered text): `sampling.samples` per prompt, in that order.

        Raises:
            SalmonError: the endpoint fails, or withholds an answer.
        """
        wanted = [(prompt, text, index) for prompt, text in prompts for index in range(sampling.samples)]
        asks = [self._ask(prompt, text, index, sampling) for prompt, text, index in wanted]
        answers = self._open.ask(asks)
        pairs = zip(wanted, answers, strict=True)
        return [self._completion(prompt.id, index, answer, sampling) for (prompt, _, index), answer in pairs]

    def _ask(self, prompt: Prompt, text: str, index: int, sampling: Sampling) -> Ask:
        body = {
            **self._shown(text),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "stop": list(sampling.stop[:_STOPS]) or None,
            "seed": int(named_rng(sampling.seed, "openai", prompt.id, index).random() * 2**31),
        }
        return Ask(f"sample {index} of prompt {prompt.id}", body, index, self._tokens(text))

    def _completion(self, prompt: str, index: int, answer: Answer, sampling: Sampling) -> Completion:
        what = f"sample {index} of prompt {prompt}"
        if answer.withheld:
            why = "its content filter held it back" if answer.finish == "content_filter" else "the reply has no text"
            raise SalmonError(
                f"gives no {what}: {why}", where=self._open.where, hint="leave the prompt out, or try another model"
            )
        if answer.finish not in (*_STOPPED, *_LIMITED):
            raise SalmonError(
                f"{what} ended in a way that is no end of a text: finish_reason is {answer.finish!r}",
                where=self._open.where,
                hint="turn off tools and the like, by `extra` or at the server",
            )
        text, stopped = answer.text or "", answer.finish in _STOPPED
        if ends := [at for stop in sampling.stop if stop and (at := text.find(stop)) >= 0]:
            text, stopped = text[: min(ends)], True
        ids = self._codec.encode(text)
        whole = (*ids, self._codec.eos_id) if stopped else tuple(ids)
        return Completion(prompt, index, text, whole, n_tokens=len(ids), stopped=stopped)


class RemoteChooser(_Remote, Chooser):
    """Asks a model behind an endpoint which of two next tokens is likelier.

    Attributes:
        silence: how often it said neither.
    """

    def __init__(self, options: Options, model: str, codec: TokenCodec):
        super().__init__(options, model, codec)
        self.silence = Silence()
        #: alternatives that the endpoint gives; 0: none, so it is asked for votes; None: not known yet
        self._top: int | None = None
        #: what an endpoint may call the choices behind the end of a text
        self._names: dict[tuple[str, tuple[str, str]], tuple[frozenset[str], frozenset[str]]] = {}

    def choose(self, requests: Sequence[PrefixRequest], choices: tuple[str, str]) -> list[list[Pair]]:
        """For each request and suffix, the log-probabilities of the two choices as the next token.

        Raises:
            SalmonError: the endpoint fails; a choice is not one single token after the suffix.
        """
        texts = [text for request in requests for text in request.texts]
        if self._options.api == "completions":
            for text in texts:
                self._named(text, choices)
        before, self.silence = self.silence, Silence()
        found = iter(self._pairs(texts, choices))
        self.silence.warn(self._open.where)
        self.silence = Silence(*(a + b for a, b in zip(_values(before), _values(self.silence), strict=True)))
        return [[next(found) for _ in request.suffixes] for request in requests]

    def _pairs(self, texts: Sequence[str], choices: tuple[str, str]) -> list[Pair]:
        if not texts:
            return []
        if self._top is None:
            self._top = self._tried(texts[0])
        self.silence.texts += len(texts)
        if not self._top:
            return self._votes(texts, choices)
        with within(0.0, 0.9):
            answers = self._open.ask([self._question(text, self._top) for text in texts])
        # An endpoint that leaves them out now and then is asked for votes there.
        lacking = [text for text, answer in zip(texts, answers, strict=True) if answer.top is None]
        with within(0.9, 1.0):
            votes = dict(zip(lacking, self._votes(lacking, choices), strict=True))
        return [
            votes[text] if answer.top is None else self._told(text, answer.top, choices)
            for text, answer in zip(texts, answers, strict=True)
        ]

    def _told(self, text: str, top: Sequence[tuple[str, float]], choices: tuple[str, str]) -> Pair:
        if self._options.api == "chat":
            return listed(top, choices, self.silence)
        return exactly(top, self._named(text, choices), self.silence)

    def _tried(self, text: str) -> int:
        """How many alternatives the endpoint gives, found by asking."""
        for top in _TOPS:
            try:
                with within(0.0, 0.0):
                    (answer,) = self._open.ask([self._question(text, top)])
            except RefusedError:
                # Whatever else is wrong with the request, the next one is refused for as well.
                continue
            return top if answer.top is not None else 0
        return 0

    def _votes(self, texts: Sequence[str], choices: tuple[str, str]) -> list[Pair]:
        count = self._options.votes
        asks = [self._vote(text, number) for text in texts for number in range(count)]
        answers = self._open.ask(asks) if asks else []
        parts = [answers[start : start + count] for start in range(0, len(answers), count)]
        begun = map(self._begun, texts)
        return [voted(part, choices, each, self.silence) for part, each in zip(parts, begun, strict=True)]

    def _begun(self, text: str) -> str:
        """The beginning of the answer that a text ends with."""
        if self._options.api == "completions":
            return ""
        last = messages_of(text)[-1]
        return last["content"] if last["role"] == "assistant" else ""

    def _question(self, text: str, top: int) -> Ask:
        # At temperature 1 the probabilities are the model's own, whether a server tells them before or after it.
        body = {**self._shown(text), "temperature": 1.0, "top_p": 1.0, "max_tokens": 1}
        if self._options.api == "chat":
            body |= {"logprobs": True, "top_logprobs": top}
        else:
            body |= {"logprobs": top}
        return Ask("the log-probabilities of a choice", body, 0, self._tokens(text))

    def _vote(self, text: str, number: int) -> Ask:
        seed = int(named_rng(0, "openai", "vote", text, number).random() * 2**31)
        body = {**self._shown(text), "temperature": 1.0, "top_p": 1.0, "max_tokens": _VOTE_TOKENS, "seed": seed}
        return Ask("a choice", body, number, self._tokens(text))

    def _named(self, text: str, choices: tuple[str, str]) -> tuple[frozenset[str], frozenset[str]]:
        """What an endpoint may call the choices' tokens: their texts, or their ids as vLLM writes them.

        Raises:
            SalmonError: a choice is not one single token, by what the text ends with.
        """
        end = text[-16:]
        if (end, choices) not in self._names:
            ids = self._codec.encode(end)
            first, second = (self._token(end, ids, choice) for choice in choices)
            self._names[end, choices] = (first, second)
        return self._names[end, choices]

    def _token(self, end: str, ids: list[int], choice: str) -> frozenset[str]:
        longer = self._codec.encode(end + choice)
        if longer[:-1] != ids:
            raise SalmonError(
                f"{choice!r} is not one single token after {end!r}",
                where=self._open.where,
                hint="use a template whose answer begins a line, with choices of one letter",
            )
        return frozenset({choice, self._codec.decode(longer[-1:]), f"token_id:{longer[-1]}"})


def _values(silence: Silence) -> tuple[int, int, int, int]:
    return silence.texts, silence.unlisted, silence.votes, silence.unread
