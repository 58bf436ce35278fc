"""A reward model of the embedded world that was never trained."""

from __future__ import annotations

from pathlib import Path


def untrained_reward_model(folder: Path) -> Path:
    """As the stage `train-rm` leaves one, with an untrained head."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed

    from salmon_core.api import Limits, ModelSpec
    from salmon_core.plugins.engines import open_codec
    from salmon_core.plugins.options import validate_options
    from salmon_core.plugins.registry import Registry
    from salmon_core.sharing.document import FILE, KnownPrinciple, make_document
    from salmon_minnow.formats import TEMPLATE
    from salmon_minnow.plugin import MODEL
    from salmon_minnow.sets import ALL

    set_seed(3)
    AutoModelForSequenceClassification.from_pretrained(MODEL, num_labels=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(MODEL).save_pretrained(folder)
    registry, spec = Registry.discover(), ModelSpec(str(folder), dtype="float32")
    engine = validate_options(registry.find("engines", "transformers"), {}, "engine", folder)
    codec = open_codec(registry, engine, spec)
    document = make_document(
        name="minnow",
        template=TEMPLATE,
        limits=Limits(48, 80, 256),
        principles=[KnownPrinciple(name=each.name, text=each.text, negated=each.negated) for each in ALL],
        combine="joint",
        model=spec,
        codec=codec,
        policy=codec,
        base_model="",
    )
    (folder / FILE).write_text(document.to_json())
    return folder
