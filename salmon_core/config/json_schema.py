"""A JSON schema of the whole configuration file, with the options of what is installed, for editors.

With it an editor complains of what `salmon check` would refuse, and completes keys, names and options. What file
plugins offer is not known here, so a configuration that names one may choose any name.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import PydanticJsonSchemaWarning

from salmon_core.config.json_parts import (
    Lenient,
    Schema,
    ending,
    first_ref,
    label_of,
    put_at,
    refs,
    says,
    tidy,
    without,
)
from salmon_core.config.names import FILE_SOURCES, PLUGIN
from salmon_core.config.schema import Config
from salmon_core.errors import SalmonError
from salmon_core.plugins.options import options_model
from salmon_core.plugins.registry import Owned, Registry

DRAFT = "https://json-schema.org/draft/2020-12/schema"
#: where a component is chosen by name or by a mapping with its options, and of which kind
CHOICES = {
    "evaluate[].judge.engine": "engines",
    "evaluate[].judge.judge": "judges",
    "prompts": "prompts",
    "self_align.engine": "engines",
    "sample.engine": "engines",
    "judge.engine": "engines",
    "judge.judge": "judges",
    "label": "labellers",
    "reward.engine": "engines",
    "reward.bonuses[]": "bonuses",
    "evaluate[]": "evaluators",
    "monitors.use[]": "monitors",
}
#: where a name alone stands
NAMES = {
    "evaluate[].judge.model": "models",
    "policy.template": "templates",
    "reward.template": "templates",
    "self_align.principles": "principle_sets",
    "self_align.verbose.principles": "principle_sets",
    "judge.principles": "principle_sets",
    "reward.principles": "principle_sets",
    "reward.interventions[].from_set": "principle_sets",
    "policy.model": "models",
    "self_align.model": "models",
    "judge.model": "models",
    "reward_model.init": "models",
    "reward_model.path": "models",
}
#: sections with a trainer, and the stage that it does
TRAINERS = {
    "sft": "sft",
    "reward_model.pretrain": "pretrain-rm",
    "reward_model": "train-rm",
    "train": "train-policy",
}
#: what the shape of a section does not say by itself
_FURTHER: Mapping[str, Schema] = {
    "Expectation": {"anyOf": [{"required": ["min"]}, {"required": ["max"]}]},
    "RewardModelSection": {
        "not": {
            "required": ["path"],
            "properties": {"path": {"type": "string"}},
            "anyOf": [
                {"required": ["options"], "properties": {"options": {"minProperties": 1}}},
                {"required": ["pretrain"], "properties": {"pretrain": {"type": "object"}}},
            ],
        }
    },
}
#: files that a kind may be given as instead of a name
_FILES = {"prompts": tuple(FILE_SOURCES), "principle_sets": (".yaml", ".yml", ".json")}


def json_schema(registry: Registry) -> Schema:
    """The schema, draft 2020-12, JSON-ready. A plugin that is broken is passed over."""
    return _Builder(registry).schema()


class _Builder:
    def __init__(self, registry: Registry):
        self.registry = registry
        self.defs: dict[str, Schema] = {}
        whole = Config.model_json_schema()
        self.root = tidy(whole, "")
        for name, own in whole["$defs"].items():
            self.defs[name] = tidy(own, "") | _FURTHER.get(name, {})

    def schema(self) -> Schema:
        """The whole; see the module."""
        strict: Schema = {}
        # Names before choices: of an evaluator's own judge a copy goes into each evaluator's options.
        for place, kind in NAMES.items():
            self.name(place, kind)
        for place, kind in CHOICES.items():
            self.choose(place, kind)
        for place, kind in (CHOICES | NAMES).items():
            if not place.startswith("evaluate[]."):
                put_at(strict, place, self.only(kind))
        for section, stage in TRAINERS.items():
            self.trainer(section, stage)
            put_at(strict, f"{section}.backend", self.only("backends", self.trainers(stage)))
        for unused in ("Selection", "DefaultSelection", "BonusChoice", "EvaluatorChoice", "PromptChoice"):
            self.defs.pop(unused, None)
        made_with = sorted({f"{owner.distribution} {owner.version}" for owner in self.registry.owners})
        return {
            "$schema": DRAFT,
            "$comment": f"written by `salmon schema` with {', '.join(made_with)}",
            "title": "a configuration of salmon",
            **self.root,
            # File plugins may add names of every kind, so only without any are the installed names all there are.
            "if": {"not": {"required": ["plugins"], "properties": {"plugins": {"minItems": 1}}}},
            "then": strict,
            "$defs": self.defs,
        }

    # -- places ------------------------------------------------------------------------------------------------------

    def at(self, place: str) -> tuple[Schema, str]:
        """The mapping that has the last key of a place, and that key without brackets."""
        *sections, key = place.replace("[]", "").split(".")
        here = self.root
        for section in sections:
            own = here["properties"][section]
            name = first_ref(own)
            here = self.defs[name]
        return here, key

    def choose(self, place: str, kind: str) -> None:
        """Puts a choice of this kind at a place."""
        section, key = self.at(place)
        own = section["properties"][key]
        model = next(ref for ref in refs(own) if ref in self.defs)
        if f"choice.{kind}" not in self.defs:
            self.define(kind, self.defs[model])
        choice: Schema = {"$ref": f"#/$defs/choice.{kind}"}
        if key == "evaluate":  # one alone needs no list
            choice = {"anyOf": [choice, {"type": "array", "items": choice}]}
        elif place.endswith("[]"):
            choice = {"type": "array", "items": choice}
        section["properties"][key] = choice | {k: v for k, v in own.items() if k == "description"}

    def name(self, place: str, kind: str) -> None:
        """Offers the names of this kind at a place."""
        section, key = self.at(place)
        own = section["properties"][key]
        nullable = [{"type": "null"}] if {"type": "null"} in own.get("anyOf", ()) else []
        mapping = first_ref(own) if kind == "principle_sets" and next(refs(own), None) else None
        for shape in ("$ref", "anyOf", "type"):
            own.pop(shape, None)
        own["anyOf"] = [*nullable, self.text(kind)]
        if mapping is not None:
            self.defs["PrincipleChoice"]["properties"]["name"] = self.text(kind)
            own["anyOf"].append({"$ref": f"#/$defs/{mapping}"})

    def trainer(self, section: str, stage: str) -> None:
        """Offers the trainers of a stage in its section, each with its own options."""
        above, key = self.at(section)
        here = self.defs[first_ref(above["properties"][key])]
        found = self.trainers(stage)
        here["properties"]["backend"]["anyOf"] = [{"type": "null"}, self.text("backends", found)]
        here["properties"]["options"] = {"type": "object"}
        if stage == "train-policy":
            algorithms = sorted({name for _, backend in found for name in backend.algorithms})
            offered = {"anyOf": [{"enum": [*algorithms, "none"]}, {"type": "string"}]}
            standard = here["properties"]["algorithm"]["default"]
            here["properties"]["algorithm"] = offered | without(here["properties"]["algorithm"], "type")
        conditions: list[Schema] = []
        for owned, backend in found:
            # Without a backend of its own, pre-training has that of the section above.
            standing_in = self.is_default(owned) and stage != "pretrain-rm"
            who = says("backend", self.spelled(owned), default=standing_in)
            models: dict[type[BaseModel], list[str]] = {}
            for algorithm in sorted(backend.algorithms) if stage == "train-policy" else [None]:
                with suppress(Exception):  # of a broken backend; the options may then be any
                    models.setdefault(backend.options_for(stage, algorithm), []).append(algorithm or "")
            if stage == "train-policy":
                known = {"enum": [*sorted(backend.algorithms), "none"]}
                conditions.append({"if": who, "then": {"properties": {"algorithm": known}}})
            for model, names in models.items():
                ref = self.options(model, f"backends.{owned.address}.{stage}.{names[0]}")
                if ref is None:
                    continue
                which = [who]
                if stage == "train-policy":
                    which.append(says("algorithm", names, default=standard in names))
                conditions.append({"if": {"allOf": which}, "then": {"properties": {"options": ref}}})
        if conditions:
            here["allOf"] = conditions

    # -- components --------------------------------------------------------------------------------------------------

    def define(self, kind: str, model: Schema) -> None:
        """The definition of a choice of this kind; `model` is the shape of what stands beside the options."""
        beside = without(model["properties"], "name")
        needed = "name" in model.get("required", ())
        name = self.text(kind)
        mapping: Schema = {
            "type": "object",
            "properties": {"name": name if needed else {"anyOf": [{"type": "null"}, name]}, **beside},
            "required": ["name"] if needed else [],
        }
        for owned in self.registry.components(kind):
            who = says("name", self.spelled(owned), default=not needed and self.is_default(owned))
            whose = [(who, frozenset[str]())]
            endings = [end for end, source in FILE_SOURCES.items() if kind == "prompts" and source == owned.name]
            if endings:  # the name is the file
                file = {"required": ["name"], "properties": {"name": {"pattern": ending(endings)}}}
                whose.append((file, frozenset({"path"})))
            for condition, given in whose:
                ref = self.component(owned, beside, given)
                if ref is not None:
                    mapping.setdefault("allOf", []).append({"if": condition, "then": ref})
        alone = [] if needed else [{"type": "null"}]
        self.defs[f"choice.{kind}"] = {"anyOf": [*alone, name, mapping]}

    def component(self, owned: Owned, beside: Schema, given: frozenset[str]) -> Schema | None:
        """The mapping that chooses a component; None where its options cannot be told."""
        try:
            model = options_model(owned.load())
        except Exception:  # a broken plugin is said where it is used
            return None
        label = f"{owned.kind}.{owned.address}{'.file' if given else ''}"
        extra = {"name": {"description": owned.component.summary}, **beside}
        if model is None:
            return self.put(label, {"type": "object", "properties": extra, "additionalProperties": False})
        return self.options(model, label, extra, given)

    def options(
        self, model: type[BaseModel], label: str, beside: Schema | None = None, given: frozenset[str] = frozenset()
    ) -> Schema | None:
        """A reference to the schema of options; None where it cannot be told."""
        label = label_of(label)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PydanticJsonSchemaWarning)
                whole = model.model_json_schema(schema_generator=Lenient)
        except Exception:
            return None
        inner = whole.get("$defs", {})
        if "$ref" in whole:  # a model that holds itself
            whole = inner[whole["$ref"].rsplit("/", 1)[1]]
        if whole.get("type") != "object":
            return None
        for name, own in inner.items():
            self.put(f"{label}.{name}", tidy(own, f"{label}."))
        found = tidy(whole, f"{label}.")
        # What stands beside the options is taken out first, so an option of the same name is never reached.
        properties = {key: own for key, own in found.get("properties", {}).items() if key not in given}
        found["properties"] = properties | (beside or {})
        found["required"] = [key for key in found.get("required", ()) if key not in given]
        return self.put(label, found)

    def put(self, label: str, schema: Schema) -> Schema:
        self.defs[label_of(label)] = schema
        return {"$ref": f"#/$defs/{label_of(label)}"}

    def trainers(self, stage: str) -> list[tuple[Owned, Any]]:
        """The backends that do a stage."""
        found = []
        for owned in self.registry.components("backends"):
            try:
                backend = owned.load()()
                if stage in backend.stages:
                    found.append((owned, backend))
            except Exception:  # a broken plugin is said where it is used
                continue
        return found

    # -- names -------------------------------------------------------------------------------------------------------

    def spelled(self, owned: Owned) -> list[str]:
        """What a configuration may write for a component."""
        alone = Counter(each.name for each in self.registry.components(owned.kind))[owned.name] == 1
        names = [owned.name, owned.address] if alone else [owned.address]
        if owned.kind == "models":
            return [PLUGIN + name for name in names]
        return [*names, *(PLUGIN + name for name in names)] if owned.kind == "prompts" else names

    def is_default(self, owned: Owned) -> bool:
        try:
            return self.registry.default(owned.kind) == owned
        except SalmonError:
            return False

    def offered(self, kind: str, among: Iterable[tuple[Owned, Any]] | None = None) -> Schema:
        """The names of a kind, with what they mean."""
        found = self.registry.components(kind) if among is None else [owned for owned, _ in among]
        named = {name: owned.component.summary for owned in found for name in self.spelled(owned)}
        order = sorted(named, key=lambda name: ("/" in name, name))
        return {"enum": order, "enumDescriptions": [named[name] for name in order]}

    def text(self, kind: str, among: Iterable[tuple[Owned, Any]] | None = None) -> Schema:
        """A text that may be one of the names of a kind."""
        label = f"name.{kind}" if among is None else f"name.{kind}.{'-'.join(owned.name for owned, _ in among)}"
        offered = self.offered(kind, among)
        known = [offered] if offered["enum"] else []
        return self.put(label, {"anyOf": [*known, {"type": "string", "minLength": 1}]})

    def only(self, kind: str, among: Iterable[tuple[Owned, Any]] | None = None) -> Schema:
        """That a name is one of the installed ones, or a file; of a choice as well."""
        names = self.offered(kind, among)["enum"]
        name: Schema = {"enum": [*names, None]}
        if kind in _FILES:
            name = {"anyOf": [name, {"type": "string", "pattern": ending(_FILES[kind])}]}
        elif kind == "models":
            name = {"anyOf": [name, {"type": "string", "not": {"pattern": f"^{PLUGIN}"}}]}
        ref = self.put(f"only.{kind}" if among is None else f"only.{kind}.{len(self.defs)}", name)
        return {"if": {"type": "string"}, "then": ref, "properties": {"name": ref}}
