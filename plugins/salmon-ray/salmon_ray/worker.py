"""What a Ray actor does: opens one model with the inner engine, and asks it what it is told to."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, cast

import salmon_core
from salmon_core.api import Ability, Chooser, ComponentSpec, ModelSpec, OpenModel, Sampler, Scorer
from salmon_core.calls import alive, heard, still
from salmon_core.errors import SalmonError
from salmon_core.plugins.engines import open_model
from salmon_core.plugins.registry import Registry
from salmon_ray import wire


def versions(engine: ComponentSpec) -> dict[str, str]:
    """Of what has to be the same in salmon's process and in the workers'."""
    owner = Registry.discover().owned(engine).owner
    return {"salmon-core": salmon_core.__version__, owner.distribution: owner.version}


class Worker:
    """One open model. Its methods never raise: a failure is an answer like any other."""

    def __init__(self) -> None:
        self._model: OpenModel | None = None
        self._share = 0.0

    def open(self, text: bytes) -> bytes:
        """Opens what `wire.order` says. -> its process id."""
        return _said(lambda: self._opened(wire.unpacked(text)))

    def ask(self, text: bytes) -> bytes:
        """Asks the model what `wire.prompts` or `wire.texts` says."""
        return _said(lambda: self._asked(wire.unpacked(text)))

    def sign(self) -> tuple[float, float]:
        """How much of the present question is done, 0 to 1, and the seconds since anything moved."""
        return self._share, still()[1]

    def _opened(self, order: Any) -> bytes:
        for name, value in order["env"].items():
            os.environ[name] = value
        engine = ComponentSpec(**order["engine"])
        if (here := versions(engine)) != order["versions"]:
            differ = ", ".join(f"{name} {here.get(name, 'none')}" for name in order["versions"])
            wanted = ", ".join(f"{name} {version}" for name, version in order["versions"].items())
            raise SalmonError(
                f"has {differ}, but salmon was started with {wanted}",
                where=f"the Python of {socket.gethostname()}",
                hint="install the same versions on every machine of the cluster",
            )
        self._model = open_model(
            Registry.discover(), engine, ModelSpec(**order["model"]), cast(Ability, order["ability"])
        )
        return wire.packed({"done": os.getpid()})

    def _asked(self, question: Any) -> bytes:
        self._share = 0.0
        alive()
        method, model = question["method"], self._model
        with heard(self._heard):
            if method == "sample":
                found: Any = cast(Sampler, model).sample(*wire.read_prompts(question))
            elif method == "choose":
                first, second = question["choices"]
                found = cast(Chooser, model).choose(wire.read_texts(question), (first, second))
            else:
                found = cast(Scorer, model).score(wire.read_texts(question))
        return wire.done(method, found)

    def _heard(self, share: float) -> None:
        self._share = share


def _said(action: Callable[[], bytes]) -> bytes:
    try:
        return action()
    except SalmonError as error:
        return wire.failed(error)
    except Exception as error:
        return wire.failed(SalmonError(f"{type(error).__name__}: {error}", where="a worker of the engine ray"))
