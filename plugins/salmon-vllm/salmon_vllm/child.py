"""Run in the interpreter that has vLLM: opens one model, and answers what is asked over a Unix socket.

    python child.py SOCKET

The standard library and vLLM are all it uses; no salmon is installed there. Either side writes lines of JSON. What it
prints, and all that vLLM does, is a log for people. When the socket's other end goes, it ends.

It hears
    {"open": {...}, "pooling": ..., "seeds": ..., "lora": ..., "device": ...}    once, first
    {"generate": [ids, ...], "params": [{...}, ...], "stream": ...}  or
    {"score": [ids, ...]}
    {"enough": number, "of": question}                              while it streams: this one may end
and says
    {"ready": {...}} or {"refused": ..., "hint": ...}
    {"new": [[number, ids], ...]}      of those that it streams, after each step
    {"done": number, ...}              of each, as it ends
    {"alive": true}                    now and then, after a step
    {"end": true}                      when all are done
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

#: a sign of life so often, in seconds
SIGN = 1.0
#: bytes of the key/value cache on a CPU, where nothing else is said
CPU_CACHE = 4 << 30


class Line:
    """Lines of JSON over a socket."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._rest = b""

    def say(self, **values: Any) -> None:
        try:
            self._socket.sendall(json.dumps(values).encode() + b"\n")
        except OSError:
            os._exit(0)

    def hear(self, wait: bool = True) -> dict[str, Any] | None:
        """The next message; None where there is none yet. Ends the process when the other end is gone."""
        while b"\n" not in self._rest:
            if not wait and not select.select([self._socket], [], [], 0)[0]:
                return None
            try:
                more = self._socket.recv(1 << 20)
            except OSError:
                more = b""
            if not more:
                os._exit(0)
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        heard: dict[str, Any] = json.loads(line)
        return heard


class Refused(Exception):
    """What was asked cannot be done: what was wrong, and what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def opened(order: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The order's model, and what to know of it."""
    try:
        from vllm import EngineArgs, LLMEngine, SamplingParams
        from vllm.platforms import current_platform
        from vllm.version import __version__
    except ImportError as error:
        raise Refused(f"vLLM cannot be imported: {error}", "see whether its installation is whole") from None

    if not hasattr(SamplingParams, "logprob_token_ids"):
        raise Refused(f"vLLM {__version__} cannot tell the log-probabilities of given tokens", "install a newer one")
    device, wanted = current_platform.device_type or "no device", order["device"]
    if wanted not in ("auto", device):
        raise Refused(f"device {wanted!r} asked for, but this vLLM runs on {device!r}", "use `device: auto`")
    values = dict(order["open"])
    if device == "cpu":
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        # What prompts share is found block by block; vLLM's own 128 is too long for that.
        values.setdefault("block_size", 32)
        if "gpu_memory_utilization" not in values and "VLLM_CPU_KVCACHE_SPACE" not in os.environ:
            # vLLM would take nearly all of the machine's memory.
            values.setdefault("kv_cache_memory_bytes", CPU_CACHE)
        if order["seeds"]:
            # vLLM winds a seed back where a prompt is read in pieces, which generators on a CPU cannot do.
            values["enable_chunked_prefill"] = False
    if order["pooling"]:
        from vllm.config import PoolerConfig

        values["pooler_config"] = PoolerConfig(pooling_type="LAST", use_activation=False)
    engine = LLMEngine.from_engine_args(EngineArgs(**values, disable_log_stats=True))
    config = engine.model_config
    if order["pooling"]:
        if "classify" not in engine.get_supported_tasks():
            raise Refused("vLLM loads it, but not as a classifier", "use the engine transformers")
        if getattr(config, "attn_type", "decoder") != "decoder":
            raise Refused(
                f"its attention is {config.attn_type!r}, so the last token is not where its score is read",
                "use the engine transformers",
            )
    return engine, {"vllm": __version__, "device": device, "max_model_len": config.max_model_len}


class Model:
    """A model that vLLM has opened, and the line to whoever asks it."""

    def __init__(self, engine: Any, lora: str | None, line: Line) -> None:
        from vllm.lora.request import LoRARequest

        self._engine, self._line = engine, line
        self._lora = LoRARequest("adapter", 1, lora) if lora else None
        self._asked = 0

    def generate(self, prompts: Sequence[Any], params: Sequence[Mapping[str, Any]], stream: bool) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        kind = RequestOutputKind.DELTA if stream else RequestOutputKind.FINAL_ONLY
        self._run(prompts, [SamplingParams(**each, detokenize=False, output_kind=kind) for each in params])

    def score(self, prompts: Sequence[Any]) -> None:
        from vllm import PoolingParams

        self._run(prompts, [PoolingParams(task="classify", use_activation=False) for _ in prompts])

    def _run(self, prompts: Sequence[Any], params: Sequence[Any]) -> None:
        self._asked += 1
        names = {}
        for number, (ids, each) in enumerate(zip(prompts, params, strict=True)):
            name = f"{self._asked}-{number}"
            names[name] = number
            self._engine.add_request(name, {"prompt_token_ids": ids}, each, lora_request=self._lora)
        said = time.monotonic()
        while self._engine.has_unfinished_requests():
            new = []
            for output in self._engine.step():
                number = names[output.request_id]
                if hasattr(output, "prompt_logprobs"):
                    found = output.outputs[0]
                    if getattr(found, "token_ids", None):
                        new.append([number, list(found.token_ids)])
                    ended = {"reason": found.finish_reason, "stop": found.stop_reason, **logprobs(found)}
                else:
                    ended = {"values": output.outputs.data.flatten().tolist()}
                if output.finished:
                    if new:
                        self._line.say(new=new)
                        new = []
                    self._line.say(done=number, **ended)
                    said = time.monotonic()
            if new:
                self._line.say(new=new)
                said = time.monotonic()
            if time.monotonic() - said > SIGN:
                self._line.say(alive=True)
                said = time.monotonic()
            while (heard := self._line.hear(wait=False)) is not None:
                self._engine.abort_request([f"{heard['of']}-{heard['enough']}"])
        self._line.say(end=True)


def logprobs(output: Any) -> dict[str, Any]:
    """Of the first token, by id."""
    if not output.logprobs:
        return {}
    return {"logprobs": {str(token): float(each.logprob) for token, each in output.logprobs[0].items()}}


def first_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # pydantic writes the reason below a headline
    said = next((line for line in lines if line.startswith("Value error, ")), lines[0] if lines else "")
    return said.removeprefix("Value error, ").partition(" [type=")[0] or type(error).__name__


def main(path: str) -> None:
    line = Line(path)
    try:
        order = line.hear() or {}
        engine, known = opened(order)
        model = Model(engine, order["lora"], line)
        line.say(ready=known)
        while True:
            heard = line.hear() or {}
            if "generate" in heard:
                model.generate(heard["generate"], heard["params"], heard["stream"])
            elif "score" in heard:
                model.score(heard["score"])
    except Refused as error:
        line.say(refused=str(error), hint=error.hint)
    except Exception as error:
        traceback.print_exc()
        line.say(refused=first_line(error), hint=None)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
