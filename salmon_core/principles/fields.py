"""What texts and weights of principles have to be in a file, whatever its format."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text.strip()


def _line(text: str) -> str:
    if "\n" in text:
        raise ValueError("has a line break")
    return text


#: not empty; white space around it is dropped
Text = Annotated[str, AfterValidator(_text)]
Name = Annotated[Text, AfterValidator(_line)]


def _counting(weight: float) -> float:
    if not weight:
        raise ValueError("is 0: it would never count; leave the principle out")
    return weight


#: a weight as it is written: see `principles.points`
Points = Annotated[float, Field(allow_inf_nan=False, strict=True), AfterValidator(_counting)]
#: relative frequency of being drawn
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
#: what a weight grows by
Boost = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]


class Written(BaseModel):
    """A mapping that a person wrote: no other keys, and a key without a value is as good as none."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _given(cls, values: Any) -> Any:
        return {key: each for key, each in values.items() if each is not None} if isinstance(values, dict) else values
