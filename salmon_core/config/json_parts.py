"""Parts of which `json_schema` is made."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

Schema = dict[str, Any]
#: keywords that hold schemas by name, and keywords that hold plain values
_MAPPINGS = ("properties", "patternProperties", "dependentSchemas")
_DATA = ("const", "enum", "examples", "required")
#: of pydantic's schemas: noise in an editor, or no part of JSON Schema
_LEFT_OUT = ("$defs", "title", "discriminator", "paper", "paper_what")


class Lenient(GenerateJsonSchema):
    """Where a validator of a plugin's own sees a value first, it may be anything."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        return self._or_anything(schema, super().function_before_schema(schema))

    def function_wrap_schema(self, schema: core_schema.WrapValidatorFunctionSchema) -> JsonSchemaValue:
        return self._or_anything(schema, super().function_wrap_schema(schema))

    def handle_invalid_for_json_schema(self, schema: CoreSchema, error_info: str) -> JsonSchemaValue:
        return {}

    def _or_anything(self, schema: Mapping[str, Any], own: JsonSchemaValue) -> JsonSchemaValue:
        return own if schema.get("json_schema_input_schema") is not None else {"anyOf": [own, {}]}


def tidy(schema: Any, prefix: str) -> Any:
    """Without titles and what is not JSON Schema's; references go to definitions with this prefix."""
    if isinstance(schema, list):
        return [tidy(item, prefix) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found: Schema = {}
    for key, value in schema.items():
        if key in _LEFT_OUT or (key == "default" and not _short(value)):
            continue
        if key == "$ref":
            found[key] = "#/$defs/" + label_of(prefix + value.rsplit("/", 1)[1])
        elif key in _MAPPINGS:
            found[key] = {name: tidy(own, prefix) for name, own in value.items()}
        else:
            found[key] = value if key in _DATA or key == "default" else tidy(value, prefix)
    return found


def _short(default: Any) -> bool:
    """Whether a default is worth showing, and can be written as JSON."""
    return not isinstance(default, dict) and not (isinstance(default, float) and not math.isfinite(default))


def label_of(text: str) -> str:
    """A definition's name, which a reference can hold as it is."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".")


def refs(schema: Any) -> Iterator[str]:
    """The definitions that a schema refers to."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rsplit("/", 1)[1]
        for value in schema.values():
            yield from refs(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from refs(item)


def first_ref(schema: Any) -> str:
    """The first of them."""
    return next(refs(schema))


def without(schema: Schema, *keys: str) -> Schema:
    """A mapping but for some keys."""
    return {key: value for key, value in schema.items() if key not in keys}


def says(key: str, values: Iterable[str], *, default: bool) -> Schema:
    """A mapping whose key has one of the values; or that has none, where that means one of them."""
    if default:
        return {"properties": {key: {"enum": [*values, None]}}}
    return {"required": [key], "properties": {key: {"enum": list(values)}}}


def ending(endings: Iterable[str]) -> str:
    """A pattern of file names, whatever their case."""
    letters = ("".join(f"[{c}{c.upper()}]" if c.isalpha() else re.escape(c) for c in end) for end in endings)
    return f"({'|'.join(letters)})$"


def put_at(tree: Schema, place: str, schema: Schema) -> None:
    """Puts a schema at a place of nested mappings and lists."""
    for part in place.split("."):
        tree = tree.setdefault("properties", {}).setdefault(part.removesuffix("[]"), {})
        if part.endswith("[]"):
            if part == "evaluate[]":
                tree.update(schema)
            tree = tree.setdefault("items", {})
    tree.update(schema)
