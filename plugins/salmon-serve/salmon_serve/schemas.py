"""The protocol: requests, answers and errors, as the OpenAPI document describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

#: characters in one text, tokens in one completion, rollouts in one request
MAX_TEXT, MAX_TOKENS, MAX_ITEMS = 200_000, 65_536, 1024

Text = Annotated[str, Field(max_length=MAX_TEXT)]
Rule = Annotated[str, Field(min_length=1, max_length=4000)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
TokenIds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(max_length=MAX_TOKENS)]
RolloutIndex = Annotated[int, Field(ge=0, lt=2**31, description="of the generated batch; selects interventions")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Item(_Strict):
    id: Name = Field(description="yours; the same id with the same content is computed once and answered alike")
    explain: bool = Field(False, description="say what each principle of a joint text gives, by leaving each out")


class RowItem(_Item):
    """A completion of a row of the server's `rl_prompts.parquet`."""

    row: int = Field(ge=0, lt=2**63)
    completion_ids: TokenIds = Field(description="the action tokens as generated, the EOS included when `stopped`")
    stopped: bool
    rollout_index: RolloutIndex = 0

    @model_validator(mode="after")
    def _has_its_eos(self) -> RowItem:
        if self.stopped and not self.completion_ids:
            raise ValueError("`stopped` needs the EOS among `completion_ids`")
        return self


class Turn(_Strict):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text


class PrincipleText(_Strict):
    """A principle by its text, known to the server or not."""

    name: Name
    text: Annotated[str, Field(min_length=1, max_length=4000)]
    negated: bool = False


class FreeItem(_Item):
    """A completion of any prompt."""

    prompt: Text | None = Field(None, description="a single user turn; or `messages`")
    messages: Annotated[list[Turn], Field(min_length=1, max_length=256)] | None = None
    completion: Text = Field(description="without special tokens")
    completion_ids: TokenIds = Field([], description="as generated, for bonuses that look at tokens")
    n_tokens: int | None = Field(None, ge=0, lt=2**31, description="without the EOS; counted where not given")
    stopped: bool = Field(True, description="whether the policy ended it itself")
    category: Name = "general"
    rollout_index: RolloutIndex = 0
    principles: Annotated[list[Rule | PrincipleText], Field(max_length=32)] | None = Field(
        None,
        description="to show: `NAME` or `not NAME` of the server's set, or texts of several words; null: drawn for the"
        " prompt",
    )

    @model_validator(mode="after")
    def _one_prompt(self) -> FreeItem:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either `prompt` or `messages`")
        if self.messages is not None and self.messages[-1].role != "user":
            raise ValueError("the last of `messages` has to be the user's")
        return self


def _kind(value: Any) -> str:
    has_row = "row" in value if isinstance(value, Mapping) else isinstance(value, RowItem)
    return "by row" if has_row else "free"


Item = RowItem | FreeItem


class RewardRequest(_Strict):
    """Rollouts to be scored: all of them, or none."""

    rollouts: Annotated[
        list[Annotated[Annotated[RowItem, Tag("by row")] | Annotated[FreeItem, Tag("free")], Discriminator(_kind)]],
        Field(min_length=1, max_length=MAX_ITEMS),
    ]


class RewardOut(BaseModel):
    """Where one reward came from; see `salmon_core.records.RewardBreakdown`."""

    id: str
    total: float
    components: dict[str, float]
    raw: dict[str, float]
    principles: list[str]
    truncated: int
    fallbacks: list[str]
    by_principle: dict[str, float]
    shares: dict[str, float]
    left_out: dict[str, float]
    vetoed: list[str]
    interventions: list[int]


class RewardAnswer(BaseModel):
    """One reward per rollout."""

    rewards: list[RewardOut] = Field(description="in the order of the request")


class RawRequest(BaseModel):
    """OpenRLHF's `remote_url` protocol: one sample. Further keys are ignored, as its other servers do."""

    query: Annotated[list[Text], Field(min_length=1, max_length=1)]
    prompts: Annotated[list[Text], Field(min_length=1, max_length=1)]
    labels: Annotated[list[Any], Field(max_length=1)] = []


class RawAnswer(BaseModel):
    """OpenRLHF's `remote_url` protocol: the reward, and numbers that its logging shows."""

    rewards: float
    scores: float
    extra_logs: dict[str, float]


class ErrorDetail(BaseModel):
    """What was wrong, where, and what to do."""

    message: str
    where: str | None = None
    hint: str | None = None
    component: str | None = Field(None, description="of the reward, where one failed")
    owner: str | None = Field(None, description="the plugin it comes from")


class ErrorAnswer(BaseModel):
    """A request that gets no reward."""

    error: ErrorDetail


class Health(BaseModel):
    """Whether requests are taken."""

    status: Literal["ok", "stopping", "failed"]
    version: str


def places(error: ValidationError) -> tuple[bool, list[tuple[str, str]]]:
    """What a validation found, without quoting what was sent.

    Returns:
        whether something is merely too large, and the first few problems as (where, what).
    """
    found: list[tuple[str, str]] = []
    large = False
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        large = large or item["type"] in ("too_long", "string_too_long")
        if len(found) < 5:
            path = ""
            for part in item["loc"]:
                if part in ("by row", "free"):  # the kind of item, which is no place
                    continue
                path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
            found.append((path or "body", item["msg"].removeprefix("Value error, ")))
    return large, found
