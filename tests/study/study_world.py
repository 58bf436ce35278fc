"""Studies made by hand, servers of them, and raters that go by a rule."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import httpx
from core_world import SALMON, environment

from salmon_study.task import Item, Key, Origin, Party, Question, Task, Turn, write_study

#: held out in `runs`
PROMPTS = 24
QUESTIONS = (Question("short", "The answer is short."), Question("overall", ""))
#: what models may write to whoever looks
HOSTILE = (
    "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">\n"
    "**bold** [link](javascript:alert(1)) \x1b[31mred\x1b[0m \u202eturned round\u202c \x00"
    " </pre></section><h1>forged</h1>"
)


def hand_made(
    folder: Path,
    answers: Sequence[tuple[str, str, str, Party]],
    questions: tuple[Question, ...] = QUESTIONS,
    name: str = "study.json",
) -> Path:
    """A study of these: prompt, first answer, second answer, whose the first is."""
    items, origins = [], {}
    for number, (prompt, first, second, whose) in enumerate(answers, 1):
        items.append(Item(f"c{number:04d}", (Turn("user", prompt),), first, second))
        origins[items[-1].id] = Origin(prompt, whose)
    path = folder / name
    write_study(path, questions, tuple(items), Key("one", "other", 5, origins, 0, len(items)))
    return path


def say(path: Path, task: Task, rater: str, lines: Sequence[tuple[str, str, str]], kind: str = "person") -> None:
    """A file of ratings: item, question, choice."""
    folder = path.with_name(f"{path.stem}.ratings")
    folder.mkdir(exist_ok=True)
    head = {"study": task.id, "rater": rater, "kind": kind, "about": ""}
    rows = [{"item": item, "question": question, "choice": choice} for item, question, choice in lines]
    (folder / f"{rater}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (head, *rows)))


@dataclass
class Served:
    """A server of a study.

    Attributes:
        addresses: by rater, with the token.
    """

    process: subprocess.Popen[str]
    url: str
    addresses: dict[str, str]

    def client(self, rater: str) -> Client:
        """A browser without a screen, at the rater's address."""
        http = httpx.Client(base_url=self.url, headers={"origin": self.url}, follow_redirects=True)
        client = Client(http, rater)
        client.read(http.get(self.addresses[rater]))
        return client


@contextmanager
def served(path: Path, *raters: str, options: Sequence[str] = ()) -> Iterator[Served]:
    """The real command, until the block ends."""
    ready = path.with_name("ready.json")
    argv = [str(SALMON), "study", "rate", str(path), "--no-browser", "--ready-file", str(ready), *options]
    argv += [word for rater in raters for word in ("--rater", rater)]
    process = subprocess.Popen(argv, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + 60
        while not ready.exists():
            assert process.poll() is None, process.stdout.read() if process.stdout else ""
            assert time.monotonic() < deadline
            time.sleep(0.02)
        found = json.loads(ready.read_text())
        assert found["pid"] == process.pid
        yield Served(process, found["url"], found["raters"])
    finally:
        killed = process.poll() is not None
        process.terminate()
        process.wait(20)
        if not killed:
            assert process.returncode == 0, process.stdout.read() if process.stdout else ""
            assert not ready.exists()  # it has tokens
        ready.unlink(missing_ok=True)


@dataclass
class Client:
    """What a rater has open."""

    http: httpx.Client
    rater: str
    page: str = ""

    def read(self, response: httpx.Response) -> None:
        assert response.status_code == 200, response.text
        self.page = response.text

    @property
    def fields(self) -> dict[str, str]:
        """Hidden ones of the page's form."""
        found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.page)
        return {name: unescape(value) for name, value in found}

    @property
    def done(self) -> bool:
        return "That was all" in self.page

    @property
    def progress(self) -> str:
        """As the page says it."""
        found = re.search(r"(\d+ of \d+) rated", self.page)
        assert found is not None
        return found[1]

    def answers(self) -> tuple[str, str]:
        """As they are shown, left and right."""
        found = re.findall(r'aria-label="Answer \d, text">(.*?)</pre>', self.page, re.DOTALL)
        left, right = map(unescape, found)
        return left, right

    def rate(self, choice: str) -> None:
        self.read(self.http.post("/rate", data={**self.fields, "choice": choice}))

    def undo(self) -> None:
        self.read(self.http.post("/undo", data={"rater": self.rater}))

    def rate_by(self, rule: Callable[[str, str, str], str], most: int = 10_000) -> int:
        """Goes on by a rule of (question, left, right) until nothing is left; how many were rated."""
        count = 0
        while not self.done and count < most:
            self.rate(rule(self.fields["question"], *self.answers()))
            count += 1
        return count


def by_length(question: str, left: str, right: str) -> str:
    """A rater who likes it short, and overall long; a tie where both are of one length."""
    if len(left) == len(right):
        return "0"
    return "1" if (len(left) < len(right)) == (question == "short") else "2"


def by_words(question: str, left: str, right: str) -> str:
    """Another rater: by the first letters of the answers, whatever is asked."""
    return "0" if left[:1] == right[:1] else "1" if left < right else "2"
