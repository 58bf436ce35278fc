"""Principle files, as a configuration and `salmon principles` meet them."""

from __future__ import annotations

import json

from bad_case import Bad, Folder, Link
from bad_configs import BOMB
from core_world import RULES

SHOW = "principles show rules.yaml"
IMPORT = "principles import published.json rules-too.yaml"
ONE = {"dimension": "Kind", "definition": "The answer is kind.", "weight": 1}


def rules(text: str) -> dict[str, str]:
    return {"rules.yaml": text}


def published(*items: object) -> dict[str, str]:
    return {"published.json": json.dumps(items)}


PRINCIPLES = [
    Bad("a lone surrogate", ("rules.yaml: line 3", "half of a surrogate pair"),
        files=rules(RULES.replace("The answer is short.", '"a\\ud800b"'))),
    Bad("a lone surrogate, shown", ("rules.yaml: line 3", "half of a surrogate pair"), SHOW,
        files=rules(RULES.replace("The answer is short.", '"a\\udfff"'))),
    Bad("an alias bomb", ("rules.yaml", "more than 100,000 values"), SHOW, files=rules(BOMB)),
    Bad("an alias bomb, named", ("rules.yaml", "more than 100,000 values"), files=rules(BOMB)),
    Bad("five megabytes of a list", ("rules.yaml", "5,000,000 characters"), SHOW, files=rules("- a\n" * 1_250_000)),
    Bad("empty", ("rules.yaml", "is not a principle set", "principles"), SHOW, files=rules("")),
    Bad("a list", ("rules.yaml", "is not a principle set"), SHOW, files=rules("- kind\n")),
    Bad("no principles", ("rules.yaml", "has no principles"), SHOW, files=rules("name: a\n")),
    Bad("an unknown key", ("rules.yaml:3", "principles[0].wieght"), SHOW,
        files=rules(RULES.replace("weight", "wieght"))),
    Bad("no weight at all", ("rules.yaml:3: principles[0].weight", "would never count"), SHOW,
        files=rules(RULES.replace("weight: 2", "weight: 0"))),
    Bad("an infinite weight", ("rules.yaml:3: principles[0].weight", "finite"), SHOW,
        files=rules(RULES.replace("weight: 2", "weight: .inf"))),
    Bad("a weight in words", ("rules.yaml:3: principles[0].weight", "'two'"), SHOW,
        files=rules(RULES.replace("weight: 2", "weight: two"))),
    Bad("one name twice", ("rules.yaml:4: principles[1].name", "'short' is given twice"), SHOW,
        files=rules(RULES.replace("name: kind", "name: short"))),
    Bad("an empty text", ("rules.yaml:3: principles[0].text", "is empty"), SHOW,
        files=rules(RULES.replace("The answer is short.", '" "'))),
    Bad("a name of two lines", ("rules.yaml:3: principles[0].name", "line break"), SHOW,
        files=rules(RULES.replace("name: short", 'name: "a\\nb"'))),
    Bad("a principle that is a text", ("rules.yaml:3: principles[0]",), SHOW,
        files=rules("name: a\nprinciples:\n  - kind\n")),
    Bad("extends nobody", ("rules.yaml:1: extends", "no principle set named 'nobody'"), SHOW,
        files=rules("extends: nobody\n")),
    Bad("extends itself", ("rules.yaml", "in a circle"), SHOW, files=rules("extends: rules.yaml\n")),
    Bad("extends a file that is gone", ("gone.yaml", "there is no such file"), SHOW,
        files=rules("extends: gone.yaml\n")),
    Bad("extends a folder", ("sets.yaml", "is a folder"), SHOW,
        files={"sets.yaml": Folder(), **rules("extends: sets.yaml\n")}),
    Bad("a circle of two", ("in a circle", "rules.yaml"), SHOW,
        files={"other.yaml": "extends: rules.yaml\n", **rules("extends: other.yaml\n")}),
    Bad("a link to itself", ("rules.yaml", "symbolic links"), SHOW, files={"rules.yaml": Link("rules.yaml")}),
    Bad("a link to itself, named", ("rules.yaml", "symbolic links"), files={"rules.yaml": Link("rules.yaml")}),
    Bad("without somebody unknown", ("rules.yaml:2: without", "'tall'"), SHOW,
        files=rules("extends: salmon-rl\nwithout: [tall]\n")),
    Bad("not UTF-8", ("rules.yaml", "is not UTF-8 text (byte 6)"), SHOW, files={"rules.yaml": b"name: \xff\n"}),
    Bad("shown by an unknown name", ("no principle set named 'nothing'", "salmon-rl"), "principles show nothing",
        code=1),
    Bad("import of nothing", ("published.json", "there is no such file"), IMPORT, absent=["rules-too.yaml"]),
    Bad("import of no JSON", ("published.json", "is not JSON"), IMPORT, files={"published.json": "[{"},
        absent=["rules-too.yaml"]),
    Bad("import of no list", ("published.json", "in no format that is known", "--list-formats"), IMPORT,
        files={"published.json": "{}"}, absent=["rules-too.yaml"]),
    Bad("import of half a surrogate pair", ("published.json", "half of a surrogate pair"), IMPORT,
        files=published({**ONE, "definition": "a\ud800"}), absent=["rules-too.yaml"]),
    Bad("import of nothing that counts", ("published.json", "[0]", "would never count"), IMPORT,
        files=published({**ONE, "weight": 0}), absent=["rules-too.yaml"]),
    Bad("import in an unknown format", ("--format", "did you mean 'salmon-json'"), IMPORT + " --format salmon-jso",
        files=published(ONE), absent=["rules-too.yaml"]),
    Bad("import of a set into rows", ("rules.jsonl", "end it with .yaml"),
        "principles import published.json rules.jsonl", code=1, files=published(ONE), absent=["rules.jsonl"]),
    Bad("import onto a file", ("rules.yaml", "exists already", "another name"),
        "principles import published.json rules.yaml",
        code=1, files=published(ONE)),
    Bad("import below a file", ("rules.yaml", "Not a directory"), "principles import published.json rules.yaml/a.yaml",
        code=1, files=published(ONE)),
]  # fmt: skip
