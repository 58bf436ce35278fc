"""Disks that take nothing, or not enough: limits of a file's size, folders in the way, circles of links."""

from __future__ import annotations

import hashlib
import json

from bad_case import Bad, Folder, Link

SCORE = "score runs/toy rows.jsonl -o scores.jsonl"
ROWS = {"rows.jsonl": '{"prompt": "Why?", "completion": "So."}\n' * 40}
RUN = "run salmon.yaml --until prompts"
LOOP = Link("loop")
#: lines that nothing can make small
HUGE = "".join(json.dumps({"prompt": hashlib.sha256(str(i).encode()).hexdigest()}) + "\n" for i in range(4000))
SMALL = "see `ulimit -f`"

DISKS = [
    # -- files may not grow
    Bad("init, no byte", ("new/", "File too large", SMALL), "init new --model tiny", limit=0, code=1,
        absent=["new"]),
    Bad("init, half a file", ("new/", "File too large"), "init new --model tiny", limit=200, code=1,
        absent=["new"]),
    Bad("import, half a file", ("own.yaml", "File too large"), "principles import published.json own.yaml", limit=100,
        code=1, absent=["own.yaml"],
        files={"published.json": '[{"dimension": "Kind", "definition": "%s"}]' % ("x" * 99)}),
    Bad("score, no byte", ("scores.jsonl", "File too large", SMALL), SCORE, finished=True, files=ROWS, limit=0, code=1,
        absent=["scores.jsonl"]),
    Bad("score, half a file", ("scores.jsonl", "File too large"), SCORE, finished=True, files=ROWS, limit=1024, code=1,
        absent=["scores.jsonl"]),
    Bad("score, onto an older file", ("scores.jsonl", "File too large"), SCORE, finished=True, limit=1024, code=1,
        files={**ROWS, "scores.jsonl": "older\n"}),
    Bad("run, no byte", ("runs/toy", "File too large", SMALL), RUN, limit=0, code=1,
        absent=["runs/toy/config.json", "runs/toy/prompts"]),
    Bad("run, no room for the configuration", ("runs/toy/config.json", "File too large"), RUN, limit=1024, code=1,
        absent=["runs/toy/config.json", "runs/toy/prompts"]),
    Bad("run, no room for the stage's files", ("runs/toy/prompts", "File too large"), RUN, limit=40_000, code=1,
        files={"prompts.jsonl": HUGE}, absent=["runs/toy/prompts/prompts.parquet"]),
    # -- links in a circle
    Bad("a run's folder", ("loop", "symbolic links"), "run salmon.yaml --until prompts --set run.folder=loop",
        files={"loop": LOOP}, code=1),
    Bad("a run's folder, checked", ("run.folder", "loop"), "check salmon.yaml --set run.folder=loop",
        files={"loop": LOOP},
        env={"SALMON_QUICK": ""}),
    Bad("init", ("loop", "symbolic links"), "init loop --model tiny", files={"loop": LOOP}, code=1),
    Bad("init below", ("loop", "symbolic links"), "init loop/new --model tiny", files={"loop": LOOP}, code=1),
    Bad("a file of init", ("salmon.yaml", "symbolic links"), "init new --model tiny",
        files={"new/salmon.yaml": Link("salmon.yaml")}, code=1),
    Bad("score's output", ("scores.jsonl", "symbolic links"), SCORE, finished=True, code=1,
        files={**ROWS, "scores.jsonl": Link("scores.jsonl")}),
    Bad("score's run", ("loop", "symbolic links"), "score loop rows.jsonl", files={**ROWS, "loop": LOOP}, code=1),
    Bad("report's run", ("loop", "symbolic links"), "report loop", files={"loop": LOOP}, code=1),
    Bad("import's target", ("loop.yaml", "exists already"), "principles import published.json loop.yaml", code=1,
        files={"published.json": '[{"dimension": "Kind", "definition": "a"}]', "loop.yaml": Link("loop.yaml")}),
    Bad("a stage's folder", ("runs/toy/prompts", "symbolic links"), RUN, code=1,
        files={"runs/toy/prompts": Link("prompts")}),
    Bad("a stage's log", ("log.txt", "symbolic links"), "run salmon.yaml --until sample", finished=True, code=1,
        files={"runs/toy/sample/log.txt": Link("log.txt"), "runs/toy/sample/part-00000.parquet": ""}),
    Bad("the lock", ("runs/toy/.lock", "symbolic links"), RUN, code=1, files={"runs/toy/.lock": Link(".lock")}),
    Bad("the events", ("events.jsonl", "symbolic links"), RUN, code=1,
        files={"runs/toy/events.jsonl": Link("events.jsonl")}),
    # -- something else is there
    Bad("the run's folder is a file", ("runs/toy", "File exists", "choose another"), RUN,
        files={"runs/toy": "mine\n"}, code=1),
    Bad("the runs' folder is a file", ("runs", "Not a directory"), RUN, files={"runs": "mine\n"}, code=1),
    Bad("a stage is a file", ("runs/toy/prompts", "Not a directory"), RUN, files={"runs/toy/prompts": "mine\n"},
        code=1),
    Bad("the lock is a folder", ("runs/toy/.lock", "Is a directory"), RUN, files={"runs/toy/.lock": Folder()}, code=1),
    Bad("init into a file", ("rules.yaml", "Not a directory", "a file, not a folder"), "init rules.yaml --model tiny",
        code=1),
    Bad("init below a file", ("rules.yaml/new", "Not a directory"), "init rules.yaml/new --model tiny", code=1),
    Bad("score into a folder", ("scores.jsonl", "Is a directory", "name a file"), SCORE, finished=True, code=1,
        files={**ROWS, "scores.jsonl": Folder()}),
    Bad("score below a file", ("rules.yaml", "Not a directory"), "score runs/toy rows.jsonl -o rules.yaml/s.jsonl",
        finished=True, files=ROWS, code=1),
    Bad("score's run is a file", ("rules.yaml", "Not a directory"), "score rules.yaml rows.jsonl", files=ROWS, code=1),
    Bad("report's run is a file", ("rules.yaml", "Not a directory"), "report rules.yaml", code=1),
    # -- names too long
    Bad("score's output, too long", ("File name too long", "shorter"), f"score runs/toy rows.jsonl -o {'x' * 300}",
        finished=True, files=ROWS, code=1),
    Bad("init, too long", ("File name too long", "shorter"), f"init {'x' * 300} --model tiny", code=1),
    Bad("a run's folder, too long", ("File name too long",), RUN + " --set run.folder=" + "x" * 300, code=1),
    Bad("a path too long", ("File name too long",), RUN + " --set run.folder=" + "/".join(["x" * 99, "y" * 300]),
        code=1),
]  # fmt: skip
