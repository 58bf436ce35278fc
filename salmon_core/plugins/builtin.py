"""The core's own plugin: prompts from files and data sets, and the bundled principle sets. Found like any other."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core.api.component import Component
from salmon_core.api.hooks import hookimpl


@hookimpl
def salmon_prompts() -> Iterable[Component]:
    yield Component("jsonl", "salmon_core.data.prompts:JsonlPrompts", "prompts from a JSON Lines file")
    yield Component("csv", "salmon_core.data.prompts:CsvPrompts", "prompts from a CSV or TSV file with a header")
    yield Component("parquet", "salmon_core.data.prompts:ParquetPrompts", "prompts from a Parquet file")
    yield Component("dataset", "salmon_core.data.prompts:DatasetPrompts", "prompts from a saved or hub data set")


@hookimpl
def salmon_principle_sets() -> Iterable[Component]:
    from salmon_core.principles.files import bundled_file, bundled_names

    for name in bundled_names():
        yield Component(name, bundled_file(name), "bundled with salmon-core")
