"""A Hugging Face tokenizer as a `salmon_core.api.TokenCodec`; for every engine on such models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from salmon_core.api.models import ModelSpec
from salmon_core.errors import SalmonError
from salmon_core.kit.hf_files import locate, named_base, own_tokenizer, readable

if TYPE_CHECKING:
    from salmon_core.records import Message

#: tokenizers without a limit of their own report int(1e30)
_NO_LIMIT = 10**9
_SURROGATE = re.compile("[\ud800-\udfff]")


class HFCodec:
    """Encodes and decodes with a `PreTrainedTokenizer`; adds no special token, parses those written in a text.

    Args:
        tokenizer: the underlying tokenizer; stays available as `tokenizer`, for instance to `save_pretrained` it.
        name: the model, for messages.
        max_length: the longest sequence the model takes; None where only the tokenizer can know.
        fallback_chat_template: Jinja, used when the tokenizer has no chat template of its own.

    Raises:
        SalmonError: the tokenizer has no EOS token.
    """

    def __init__(
        self, tokenizer: Any, *, name: str, max_length: int | None = None, fallback_chat_template: str | None = None
    ):
        self.tokenizer = tokenizer
        self.name = name
        self._fallback = fallback_chat_template
        if max_length is None and 0 < (tokenizer.model_max_length or 0) < _NO_LIMIT:
            max_length = int(tokenizer.model_max_length)
        self._max_length = max_length
        if tokenizer.eos_token is None or tokenizer.eos_token_id is None:
            raise SalmonError(
                "the tokenizer has no EOS token, so no text can end",
                where=name,
                hint="set eos_token on the tokenizer and save it again",
            )

    @property
    def eos_token(self) -> str:
        """The text of the EOS token."""
        return str(self.tokenizer.eos_token)

    @property
    def eos_id(self) -> int:
        """The id of the EOS token."""
        return int(self.tokenizer.eos_token_id)

    @cached_property
    def bos_token(self) -> str | None:
        """What the tokenizer itself puts before a text, as text; None where it puts nothing."""
        # Asked by trying: `bos_token` is often defined but not put (Qwen, GPT-2), and flags for it are not universal.
        plain = self.encode("a")
        whole = list(self.tokenizer("a")["input_ids"])
        at = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), 0)
        return self.decode(whole[:at]) or None

    @cached_property
    def special_tokens(self) -> tuple[str, ...]:
        """Every string that the tokenizer turns into a special id."""
        added = self.tokenizer.added_tokens_decoder.values()
        names = [*self.tokenizer.all_special_tokens, *(token.content for token in added if token.special)]
        return tuple(dict.fromkeys(str(name) for name in names if name))

    @cached_property
    def added_tokens(self) -> tuple[str, ...]:
        """Every string that the tokenizer turns into one id before it splits a text, special or not."""
        added = (str(token.content) for token in self.tokenizer.added_tokens_decoder.values())
        return tuple(dict.fromkeys([*self.special_tokens, *(token for token in added if token)]))

    def normalize(self, text: str) -> str:
        """What the tokenizer makes of a text before it splits it: its normalizer, if it has one."""
        normalizer = self._normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    @cached_property
    def _normalizer(self) -> Any:
        return getattr(getattr(self.tokenizer, "backend_tokenizer", None), "normalizer", None)

    @property
    def max_length(self) -> int | None:
        """The longest sequence the model takes, in tokens, where known."""
        return self._max_length

    def encode(self, text: str) -> list[int]:
        """-> ids; special tokens written in the text are parsed, none is added."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The same for many texts at once, in parallel where the tokenizer can."""
        if not texts:
            return []
        # A lone surrogate is no character that UTF-8 could hold; tokenizers raise on it.
        clean = [text if text.isascii() else _SURROGATE.sub("\ufffd", text) for text in texts]
        encoded = self.tokenizer(
            clean,
            add_special_tokens=False,
            split_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return [list(ids) for ids in encoded["input_ids"]]

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """-> text, exactly as the tokenizer has it: no spaces cleaned up."""
        text = self.tokenizer.decode(list(ids), skip_special_tokens=skip_special, clean_up_tokenization_spaces=False)
        return str(text)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The tokenizer's own names of these ids, for messages."""
        return [str(piece) for piece in self.tokenizer.convert_ids_to_tokens(list(ids))]

    @property
    def own_chat(self) -> bool:
        """Whether the tokenizer has a chat template of its own, not the one that salmon brought to a base model."""
        return self.tokenizer.chat_template not in (None, self._fallback)

    def chat(self, messages: Sequence[Message]) -> str:
        """The conversation by the chat template, up to where the answer begins; begins with `bos_token` just once.

        Raises:
            SalmonError: there is no chat template, or it refuses this conversation.
        """
        text = self._templated(messages, add_generation_prompt=True)
        bos = self.bos_token or ""
        return text if text.startswith(bos) else bos + text

    def conversation(self, messages: Sequence[Message]) -> str:
        """The whole conversation, exactly as the chat template has it.

        Raises:
            SalmonError: there is no chat template, or it refuses this conversation.
        """
        return self._templated(messages, add_generation_prompt=False)

    def _templated(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        options: dict[str, Any] = {"add_generation_prompt": add_generation_prompt}
        if self.tokenizer.chat_template is None:
            if self._fallback is None:
                raise SalmonError(
                    "the tokenizer has no chat template",
                    where=self.name,
                    hint="choose a template that brings one (`chat`), or set tokenizer.chat_template and save it",
                )
            options["chat_template"] = self._fallback
        try:
            text: str = self.tokenizer.apply_chat_template(
                [dict(message) for message in messages], tokenize=False, **options
            )
        except Exception as error:  # Jinja's errors, and whatever the template raises on purpose
            roles = ", ".join(message["role"] for message in messages)
            raise SalmonError(
                f"the chat template refuses the conversation ({roles}): {error}",
                where=self.name,
                hint="use the roles the template knows, user first and last",
            ) from error
        return text


def open_codec(spec: ModelSpec) -> HFCodec:
    """The model's tokenizer, without its weights.

    Raises:
        SalmonError: no such model, no usable tokenizer, or remote code that was not opted in.
    """
    from transformers import AutoConfig, AutoTokenizer

    source = locate(named_base(spec))
    with readable(spec, "its configuration"):
        config = AutoConfig.from_pretrained(source, trust_remote_code=spec.trust_remote_code)
    with readable(spec, "its tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(
            own_tokenizer(spec) or source, trust_remote_code=spec.trust_remote_code
        )
    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    return HFCodec(
        tokenizer,
        name=spec.path,
        max_length=int(limit) if limit and limit > 0 else None,
        fallback_chat_template=spec.fallback_chat_template,
    )
