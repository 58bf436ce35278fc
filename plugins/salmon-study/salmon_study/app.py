"""The addresses, and what answers them: the rater whose token it is, and nobody else's ratings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from salmon_core.kit.gate import WHO
from salmon_study.order import Step, next_step, steps_of
from salmon_study.pages import done_page, refused_page, step_page
from salmon_study.ratings import Choice, Rating, RatingLog
from salmon_study.task import Task

_STATIC = Path(__file__).parent / "static"
#: bytes of a request's body at most
_MOST = 64 * 2**10
_NOTICES = {
    "undone": "Taken back: this is what you were asked.",
    "late": "What you answered was rated already, or is not what comes next; nothing was stored.",
}

Form = Mapping[str, str]


class _Rating:
    """One rater at work."""

    def __init__(self, task: Task, log: RatingLog, name: str):
        self.name, self._log = name, log
        self._steps = steps_of(task, name)
        self._lock = threading.Lock()
        #: what was shown last, and when
        self._shown: tuple[tuple[str, str], float] | None = None

    def page(self, notice: str) -> str:
        """What comes next."""
        with self._lock:
            done, total = len(self._log.ratings), len(self._steps)
            step = next_step(self._steps, self._log.done)
            if step is None:
                return done_page(self.name, total, notice)
            if self._shown is None or self._shown[0] != step.key:
                self._shown = step.key, time.monotonic()
            return step_page(self.name, step, done, total, notice)

    def rate(self, form: Form) -> str | None:
        """Stores a rating; the name of a notice where it is not what was asked for."""
        with self._lock:
            step = next_step(self._steps, self._log.done)
            if step is None or step.key != (form.get("item"), form.get("question")):
                return "late"  # sent twice, or from an old page
            began = self._shown[1] if self._shown is not None and self._shown[0] == step.key else None
            seconds = None if began is None else round(time.monotonic() - began, 1)
            choice = _choice(step, form["choice"])
            self._log.add(Rating(*step.key, choice, step.left, seconds))
            return None

    def undo(self) -> str | None:
        """Takes the last rating back."""
        with self._lock:
            self._shown = None
            return "undone" if self._log.undo() is not None else None


class App:
    """Pages for some raters.

    Args:
        logs: by rater.
    """

    def __init__(self, task: Task, logs: Mapping[str, RatingLog]):
        self._raters = {name: _Rating(task, log, name) for name, log in logs.items()}

    @property
    def asgi(self) -> Starlette:
        """The application; it goes behind a `Gate`."""
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/rate", self._rate, methods=["POST"]),
                Route("/undo", self._undo, methods=["POST"]),
                Mount("/static", StaticFiles(directory=_STATIC)),
            ]
        )

    async def _page(self, request: Request) -> Response:
        notice = _NOTICES.get(request.query_params.get("notice", ""), "")
        return HTMLResponse(await run_in_threadpool(self._rater(request).page, notice))

    async def _rate(self, request: Request) -> Response:
        def rate(rater: _Rating, form: Form) -> str | None:
            return rater.rate(form)

        return await self._posted(request, rate, lambda form: form.get("choice") in ("0", "1", "2"))

    async def _undo(self, request: Request) -> Response:
        return await self._posted(request, lambda rater, _: rater.undo(), lambda _: True)

    async def _posted(
        self, request: Request, act: Callable[[_Rating, Form], str | None], fits: Callable[[Form], bool]
    ) -> Response:
        rater, form = self._rater(request), await _form(request)
        if form is None or not fits(form):
            return HTMLResponse(refused_page("That is no answer to what is asked."), 400)
        if form.get("rater") != rater.name:  # two raters in one browser: its cookie is the last one's
            said = f"That page is another rater's; this browser is now {rater.name}'s. Open your own address again."
            return HTMLResponse(refused_page(said), 409)
        notice = await run_in_threadpool(act, rater, form)
        return RedirectResponse(f"/?notice={notice}" if notice else "/", 303)

    def _rater(self, request: Request) -> _Rating:
        return self._raters[request.scope[WHO]]


def _choice(step: Step, sent: str) -> Choice:
    if sent == "0":
        return "tie"
    other: Choice = "second" if step.left == "first" else "first"
    return step.left if sent == "1" else other


async def _form(request: Request) -> Form | None:
    """The fields of a form, None where it is none."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        return None
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MOST:
            return None
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=16)
    except ValueError:
        return None
    return {name: values[0] for name, values in fields.items()}
