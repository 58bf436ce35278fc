"""Run inside OpenRLHF, in its vLLM actors (`--train.agent_func_path`): asks salmon's server for every reward.

`prepare` puts a copy of this file into the stage's folder; what it needs lies beside it. No salmon is installed here:
the standard library and aiohttp (which OpenRLHF brings) are all it uses. Rollouts are written down by the server.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from openrlhf.utils.agent import SingleTurnAgentExecutor

FOLDER = Path(__file__).resolve().parent
sys.path.append(str(FOLDER))
from salmon_foreign import leave_error  # noqa: E402

#: seconds without any answer from a server on another machine, of which nobody here can say whether it lives
UNREACHABLE = 600.0
LATER = (408, 429, 503)
WHERE = "train-policy, reward"


class RewardFailed(RuntimeError):
    """Ends the run: there is no such thing as a missing reward."""


class AgentExecutor(SingleTurnAgentExecutor):
    """OpenRLHF's own single turn, rewarded by salmon.

    A rollout's index is the number of the generated batch. Every engine gets the same number of prompts of a batch
    (the plan sees to it), and a batch begins only when the one before it is trained on; so counting the prompts that
    arrive is enough. `first` is where the checkpoint left off.
    """

    def __init__(self) -> None:
        super().__init__(None)
        settings = json.loads((FOLDER / "agent.json").read_text())
        self.rows_per_engine = int(settings["rows_per_engine"])
        self.first = int(settings["first"])
        self.samples: dict[int, int] = {}  # row -> completions begun, in order of arrival
        self.index: dict[int, int] = {}
        self.server = Server(FOLDER / "services" / "reward.json")

    async def execute(
        self,
        prompt: str,
        label: Any,
        sampling_params: Any,
        max_length: int,
        hf_tokenizer: Any,
        llm_engine: Any,
        images: Any = None,
    ) -> dict[str, Any]:
        """One completion and its reward."""
        try:
            row = int(label)
            if row not in self.samples:
                self.index[row] = self.first + len(self.index) // self.rows_per_engine
            sample = self.samples[row] = self.samples.get(row, -1) + 1
            output: dict[str, Any] = await super().execute(
                prompt, label, sampling_params, max_length, hf_tokenizer, llm_engine, images
            )
            ((start, end),) = output["action_ranges"]
            ids = [int(token) for token in output["observation_tokens"][start:end]]
            item = {
                "id": f"{self.index[row]}-{row}-{sample}-{uuid.uuid4().hex}",
                "row": row,
                "completion_ids": ids,
                "stopped": not output["truncated"],
                "rollout_index": self.index[row],
            }
            reward = await self.server.score(item)
        except RewardFailed as error:
            leave_error(FOLDER, str(error), where=WHERE, hint="see log.txt")
            raise
        except Exception as error:
            leave_error(FOLDER, f"{type(error).__name__}: {error}", where=WHERE, hint="see log.txt")
            raise
        components = {f"reward/{name}/mean": value for name, value in reward["components"].items()}
        output.update(
            reward=reward["total"],
            scores=reward["total"],
            extra_logs={
                **components,
                "reward/truncated": float(reward["truncated"] > 0),
                "reward/fallbacks": float(len(reward["fallbacks"])),
            },
        )
        return output


class Server:
    """The reward server that `ready` tells of. What is asked again has the same id, so it is computed once."""

    def __init__(self, ready: Path):
        self.ready = ready
        self.session: aiohttp.ClientSession | None = None

    async def score(self, item: dict[str, Any]) -> dict[str, Any]:
        """One breakdown; waits for it as long as the server lives.

        Raises:
            RewardFailed: the server refused, said that a component failed, or is gone.
        """
        pause, silent = 0.2, 0.0
        while True:
            place = self._place()
            try:
                status, wait, answer = await self._ask(place, item)
                silent = 0.0
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                self._check_alive(place, silent, error)
                status, wait, answer = 0, None, {}
                silent += pause
            if status == 200:
                return checked(item, answer)
            if status and status not in LATER:
                raise RewardFailed(reason(status, answer))
            await asyncio.sleep(pause if wait is None else wait)
            pause = min(2 * pause, 5.0)

    async def _ask(self, place: dict[str, Any], item: dict[str, Any]) -> tuple[int, float | None, Any]:
        if self.session is None:
            # No limit on the whole: scoring takes what it takes.
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=30)
            # No proxy of the environment either: it would be told the token.
            self.session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        headers = {"Authorization": f"Bearer {place['token']}"}
        async with self.session.post(f"{place['url']}/v1/rewards", json={"rollouts": [item]}, headers=headers) as got:
            text = await got.text()
            try:
                answer = json.loads(text)
            except ValueError:
                answer = {"error": {"message": text[:200]}}
            return got.status, seconds(got.headers.get("Retry-After")), answer

    def _place(self) -> dict[str, Any]:
        try:
            values: dict[str, Any] = json.loads(self.ready.read_text())
        except (OSError, ValueError) as error:
            raise RewardFailed(f"the reward server is gone: {error}") from None
        return values

    def _check_alive(self, place: dict[str, Any], silent: float, error: BaseException) -> None:
        if urlsplit(place["url"]).hostname in ("127.0.0.1", "::1", "localhost"):
            try:
                os.kill(int(place["pid"]), 0)
                return
            except PermissionError:
                return
            except ProcessLookupError:
                raise RewardFailed(f"the reward server died: {error}") from None
        if silent > UNREACHABLE:
            raise RewardFailed(f"no answer from the reward server at {place['url']} for {silent:.0f} s: {error}")


def checked(item: dict[str, Any], answer: Any) -> dict[str, Any]:
    """The one breakdown of an answer, if it is that rollout's and finite."""
    try:
        (reward,) = answer["rewards"]
        if reward["id"] != item["id"]:
            raise RewardFailed(f"the reward server answered for {reward['id']}, not {item['id']}")
        if not math.isfinite(reward["total"]):
            raise RewardFailed(f"the reward of row {item['row']} is {reward['total']}")
        return dict(reward)
    except (KeyError, TypeError, ValueError) as error:
        raise RewardFailed(f"the reward server's answer cannot be read: {type(error).__name__}") from None


def reason(status: int, answer: Any) -> str:
    """A refusal, with the component and its owner where one failed."""
    error = answer.get("error") if isinstance(answer, dict) else None
    error = error if isinstance(error, dict) else {}
    names = " of ".join(str(error[key]) for key in ("component", "owner") if error.get(key))
    text = f"{error.get('message', 'no reason given')} (reward server, HTTP {status})"
    return f"{names}: {text}" if names and names not in text else text


def seconds(text: str | None) -> float | None:
    """A Retry-After header, at most a minute."""
    return min(float(text), 60.0) if text is not None and text.isdigit() else None
