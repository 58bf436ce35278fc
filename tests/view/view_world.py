"""Servers of pages in processes of their own, plain HTTP to ask them, and texts that nobody should trust."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from core_world import SALMON, environment

from salmon_core.data.parquet import write_rows
from salmon_core.data.rollouts import ROLLOUTS

#: a completion that tries to be markup, Markdown, a terminal's commands, and text that runs the other way
HOSTILE = (
    '<script>document.title="owned"</script><img src=x onerror="document.title=1">\n'
    '"><svg onload=alert(1)>&lt;b&gt; [link](javascript:alert(1)) **bold** ```\n'
    "\x1b[31mred\x1b[0m \x07 \u202eterces\u202c \u2066x\u2069 \u200b שלום مرحبا\n"
    "</pre></td></table></script><style>*{display:none}</style>"
)
LONG = "<b>long</b> " * 87_382  # a megabyte
BATCH = 7


def add_rollouts(run: Path) -> None:
    """A batch of hostile rollouts, as a training leaves them."""
    principle = {"name": HOSTILE[:60], "text": HOSTILE, "negated": True, "weight": None, "veto": False}
    plain = {"name": "kind", "text": "The answer is kind.", "negated": False, "weight": None, "veto": False}
    texts = [HOSTILE, LONG, "A plain answer, Grüße.", "[red] answer"]
    rows = [
        {
            "rollout_index": BATCH,
            "row": 0,
            "prompt_id": "p0" if place < 2 else "p1",
            "prompt": HOSTILE if place == 0 else "Question number 0?",
            "category": "general" if place < 3 else HOSTILE[:30],
            "completion": text,
            "completion_ids": [1, 2],
            "n_tokens": 10 * place,
            "stopped": place != 2,
            "principles": [principle if place == 0 else plain],
            "reward": float(place) - 1.5,
            "components": [("rm", float(place) - 2.0), ("letters", 0.5)],
            "by_principle": [("kind", 1.25)],
            "left_out": [],
            "vetoed": [],
            "text_ids": [],
            "step": 3,
            "kl": 0.25,
            "interventions": [],
        }
        for place, text in enumerate(texts)
    ]
    write_rows(run / "train-policy" / "rollouts" / f"part-{BATCH:06d}-0.parquet", rows, ROLLOUTS)
    alarm = {
        "event": "AlarmRaised",
        "time": time.time(),
        "stage": "train-policy",
        "monitor": "toy",
        "about": "x",
        "text": HOSTILE,
        "rollout_index": BATCH,
        "p": 0.01,
        "examples": [HOSTILE],
        "flagged": [[BATCH, 0]],
        "forbid": "",
    }
    estimate = {"value": -1.0, "low": -2.0, "high": -0.5, "n": 30}
    measured = dict.fromkeys(("flagged", "others", "apart"), estimate)
    proposal = {"what": "principle", "name": "x", "text": HOSTILE, "negated": False, "source": "", "refused": ""}
    proposed = {
        "event": "Proposed",
        "time": time.time(),
        "stage": "train-policy",
        "monitor": "toy",
        "about": "x",
        "alarm": 1,
        "text": HOSTILE,
        "proposals": [{**proposal, **measured, "works": True}],
        "applied": None,
    }
    with (run / "events.jsonl").open("a") as file:
        file.writelines(json.dumps(each) + "\n" for each in (alarm, proposed))


class Answer:
    def __init__(self, status: int, headers: Mapping[str, str], body: bytes):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self) -> str:
        return self.body.decode()


class Viewer:
    """A process that serves pages; leaving the context ends it."""

    def __init__(self, runs: Sequence[Path], folder: Path, *options: str, env: Mapping[str, str] | None = None):
        self.log, ready = folder / "log.txt", folder / "ready.json"
        argv = [str(SALMON), "view", *map(str, runs), "--no-browser", "--ready-file", str(ready), *options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                argv, cwd=folder, env={**environment(), **(env or {})}, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 120
        while not ready.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, "not ready"
            time.sleep(0.05)
        values = json.loads(ready.read_text())
        self.url, self.token = values["url"], values["token"]
        self.host, self.port = str(urlsplit(self.url).hostname), int(urlsplit(self.url).port or 0)
        self.ready = ready

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        assert self.process.returncode == 0, self.log.read_text()
        assert not self.ready.exists()  # it has the token

    def ask(
        self, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, token: str | None = None
    ) -> Answer:
        """One request with the token; `token` replaces it, an empty one leaves it out."""
        token = self.token if token is None else token
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        data = None
        if body is not None:
            data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        connection = http.client.HTTPConnection(self.host, self.port, timeout=120)
        try:
            connection.request("GET" if data is None else "POST", path, data, {**sent, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def page(self, path: str, **options: Any) -> Page:
        """A page that is there."""
        answer = self.ask(path, **options)
        assert answer.status == 200, (answer.status, answer.text[:2000])
        return Page(answer.text)


class Page(HTMLParser):
    """A page as a browser takes it apart: elements, and the text of all of them."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._parts: list[str] = []
        self.source = text
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self._parts.append(data)

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def chart(self, id: str) -> dict[str, Any]:
        """The numbers of a chart."""
        (found,) = (each for each in self.of("figure") if each.get("id") == id)
        values: dict[str, Any] = json.loads(found["data-chart"] or "")
        return values
