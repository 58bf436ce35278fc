"""The addresses, and what answers them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from salmon_core.errors import SalmonError
from salmon_core.kit.markup import Html, Node, markup, tag
from salmon_core.seeing.answers import answered
from salmon_core.seeing.curves import stage_curves
from salmon_view.asking import Asking
from salmon_view.layout import page
from salmon_view.pages.answers import answers_page
from salmon_view.pages.compare import compare_page
from salmon_view.pages.judge import judge_page
from salmon_view.pages.overview import overview
from salmon_view.pages.playground import playground_page, principles_part, score_part
from salmon_view.pages.reward import card_of, reward_page
from salmon_view.pages.rollouts import read_part, rollout_page, rollouts_page, rows_part
from salmon_view.pages.steer import applied_part, preview_part, proposals_part, steer_page
from salmon_view.runs import FILTERING, ViewedRun

STATIC = Path(__file__).parent / "static"
#: bytes of a request's body at most: a prompt and an answer of a megabyte each, quoted
MOST = 8 * 2**20

Answer = Callable[[ViewedRun, Request], Response]


class App:
    """Pages of some runs.

    Args:
        file_plugins: whether the runs' configurations may name some, where their models are asked.
    """

    def __init__(self, runs: Sequence[ViewedRun], *, file_plugins: bool = True):
        self.runs = list(runs)
        self._asking = [Asking(run.path, file_plugins=file_plugins) for run in runs]

    def close(self) -> None:
        """Ends the processes with models."""
        for each in self._asking:
            each.close()

    @property
    def asgi(self) -> Starlette:
        """The application."""
        pages: dict[str, Answer] = {
            "": self._overview,
            "/rollouts": self._rollouts,
            "/rollouts/{batch:int}/{place:int}": self._rollout,
            "/rollouts/{batch:int}/{place:int}/read": self._rollout_read,
            "/rollouts/{batch:int}/{place:int}/{part:str}": self._rollout_text,
            "/answers": self._answers,
            "/judge": self._judge,
            "/reward": self._reward,
            "/steer": self._steer,
            "/propose": self._propose,
            "/try": self._playground,
            "/try/principles": self._principles,
        }
        posts: dict[str, Callable[[ViewedRun, Mapping[str, Any]], Response]] = {
            "/steer": self._change,
            "/try/score": self._score,
            "/try/write": self._write,
            "/try/read": self._read,
        }
        routes: list[Route | Mount] = [
            Route("/", self._home),
            Route("/compare", self._compare),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
        for path, posted in posts.items():
            routes.append(Route(f"/runs/{{number:int}}{path}", partial(self._posted, posted), methods=["POST"]))
        for path, answer in pages.items():
            routes.append(Route(f"/runs/{{number:int}}{path}", partial(self._got, answer)))
        handlers: Mapping[Any, Any] = {
            SalmonError: self._problem,
            HTTPException: self._missing,
            Exception: self._unforeseen,
        }
        return Starlette(routes=routes, exception_handlers=handlers)

    # -- how requests are answered -------------------------------------------------------------------------------------

    async def _got(self, answer: Answer, request: Request) -> Response:
        return await run_in_threadpool(answer, self._run(request), request)

    async def _posted(self, answer: Callable[[ViewedRun, Mapping[str, Any]], Response], request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise HTTPException(415, "send JSON")
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MOST:
                raise HTTPException(413, "that is too much")
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            raise HTTPException(400, "is no JSON") from None
        if not isinstance(asked, dict):
            raise HTTPException(400, "is no object")
        return await run_in_threadpool(answer, self._run(request), asked)

    def _run(self, request: Request) -> ViewedRun:
        number: int = request.path_params["number"]
        if number >= len(self.runs):
            raise HTTPException(404, "no such run")
        return self.runs[number]

    def _page(self, run: ViewedRun | None, current: str, title: str, body: Sequence[Node]) -> Response:
        shown = title if run is None else f"{title}: {run.name}"
        return HTMLResponse(page(self.runs, run, current, shown, *body))

    def _problem(self, request: Request, error: Exception) -> Response:
        if _wants_part(request):
            return HTMLResponse(tag("p", str(error), class_="error", role="alert"), 422)
        return self._page(None, "", "Error", [tag("h1", "That cannot be shown"), tag("p", str(error), class_="error")])

    def _unforeseen(self, request: Request, error: Exception) -> Response:
        said = f"{type(error).__name__}; the words of salmon view say where"  # they are written there
        if _wants_part(request):
            return HTMLResponse(tag("p", said, class_="error", role="alert"), 500)
        return PlainTextResponse(f"{said}\n", 500)

    def _missing(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return PlainTextResponse(f"{error.detail}\n", error.status_code)

    # -- pages ---------------------------------------------------------------------------------------------------------

    def _home(self, _: Request) -> Response:
        return RedirectResponse(self.runs[0].home if len(self.runs) == 1 else "/compare", 303)

    def _compare(self, _: Request) -> Response:
        names, homes = [run.name for run in self.runs], [run.home for run in self.runs]
        body = compare_page([run.summary for run in self.runs], names, homes)
        return self._page(None, "compare", "Compare", body)

    def _overview(self, run: ViewedRun, request: Request) -> Response:
        return self._page(run, "", "Overview", overview(run.summary, run.log, run.curves, run.home))

    def _rollouts(self, run: ViewedRun, request: Request) -> Response:
        given = dict(request.query_params)
        if _wants_part(request):
            return HTMLResponse(rows_part(run.home, given, run.rollouts(FILTERING)))
        index = run.rollouts() if run.loaded.is_set() else None
        return self._page(run, "rollouts", "Rollouts", rollouts_page(run.home, given, index))

    def _one(self, run: ViewedRun, request: Request) -> dict[str, Any]:
        batch, place = request.path_params["batch"], request.path_params["place"]
        row = run.rollouts().one(batch, place) if max(batch, place) < 2**62 else None
        if row is None:
            raise HTTPException(404, "no such rollout")
        return row

    def _rollout(self, run: ViewedRun, request: Request) -> Response:
        row = self._one(run, request)
        visits = run.index.visits(row["prompt_id"])
        body = rollout_page(run.home, row, visits, reads="rm" in row["components"])
        title = f"Rollout {row['rollout_index']}.{row['place']}"
        return self._page(run, "rollouts", title, body)

    def _rollout_text(self, run: ViewedRun, request: Request) -> Response:
        row = self._one(run, request)
        texts = {"prompt": row["prompt"], "answer": row["completion"]}
        if request.path_params["part"] not in texts:
            raise HTTPException(404, "no such text")
        return PlainTextResponse(texts[request.path_params["part"]] or "")

    def _rollout_read(self, run: ViewedRun, request: Request) -> Response:
        row = self._one(run, request)
        found = self._asking[run.number].ask(
            "read",
            prompt=row["prompt"],
            row=row["row"],
            completion=row["completion"],
            principles=row["principles"],
        )
        return HTMLResponse(read_part(found["texts"], found["note"]))

    def _answers(self, run: ViewedRun, request: Request) -> Response:
        body = answers_page(run.home, answered(run.path), dict(request.query_params))
        return self._page(run, "answers", "Before and after", body)

    def _judge(self, run: ViewedRun, request: Request) -> Response:
        judge = run.summary.report.get("judge") or run.judge_verdict
        body = judge_page(run.home, judge, run.judged(), dict(request.query_params))
        return self._page(run, "judge", "Judge", body)

    def _reward(self, run: ViewedRun, request: Request) -> Response:
        report = run.summary.report
        body = reward_page(report, card_of(run.path, report), stage_curves(run.log, "train-rm"))
        return self._page(run, "reward", "Reward model", body)

    def _steer(self, run: ViewedRun, request: Request) -> Response:
        body = steer_page(run.home, run.summary, run.log.training, dict(request.query_params))
        return self._page(run, "steer", "Steer", body)

    def _propose(self, run: ViewedRun, request: Request) -> Response:
        sets = request.query_params.get("sets", "").split(",")
        found = self._asking[run.number].ask("propose", alarm=request.query_params.get("alarm"), sets=sets)
        return HTMLResponse(proposals_part(found))

    def _playground(self, run: ViewedRun, request: Request) -> Response:
        return self._page(run, "try", "Playground", playground_page(run.home, dict(request.query_params)))

    def _principles(self, run: ViewedRun, request: Request) -> Response:
        return HTMLResponse(principles_part(self._asking[run.number].ask("info")))

    # -- what pages ask for --------------------------------------------------------------------------------------------

    def _change(self, run: ViewedRun, asked: Mapping[str, Any]) -> Response:
        known = ("what", "text", "name", "set", "value", "negate", "undoes", "from_rollout", "until_rollout", "reason")
        values = {key: asked.get(key) for key in known}
        found = self._asking[run.number].ask("steer", apply=asked.get("apply") is True, **values)
        part: Html = applied_part(found) if asked.get("apply") is True else preview_part(found)
        return HTMLResponse(part)

    def _score(self, run: ViewedRun, asked: Mapping[str, Any]) -> Response:
        found = self._asking[run.number].ask("score", **_tried(asked))
        return HTMLResponse(score_part(found))

    def _write(self, run: ViewedRun, asked: Mapping[str, Any]) -> Response:
        values = {key: asked.get(key) for key in ("prompt", "by", "temperature")}
        return JSONResponse(self._asking[run.number].ask("write", **values))

    def _read(self, run: ViewedRun, asked: Mapping[str, Any]) -> Response:
        found = self._asking[run.number].ask("read", **_tried(asked))
        return HTMLResponse(markup(read_part(found["texts"], found["note"])))


def _tried(asked: Mapping[str, Any]) -> dict[str, Any]:
    given = asked.get("principles")
    principles = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    return {"prompt": asked.get("prompt"), "completion": asked.get("completion"), "principles": principles}


def _wants_part(request: Request) -> bool:
    """Whether a page's script asks for a part of it."""
    return request.method == "POST" or request.headers.get("x-part") == "1"
