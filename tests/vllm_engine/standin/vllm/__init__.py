"""What `child.py` uses of vLLM; see README.md."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any


class EngineArgs(SimpleNamespace):
    """Whatever it is given."""


class SamplingParams(SimpleNamespace):
    logprob_token_ids: Any = None
    logprobs: Any = None
    stop_token_ids: Any = ()
    seed: Any = None


class PoolingParams(SimpleNamespace):
    pass


def _hash(*values: Any) -> float:
    return int.from_bytes(hashlib.sha256(repr(values).encode()).digest()[:4], "big") / 2**32


class LLMEngine:
    """One token for every request in each step."""

    def __init__(self, args: EngineArgs):
        self._trouble = getattr(args, "trouble", "")
        self._left: dict[str, Any] = {}
        self.model_config = SimpleNamespace(max_model_len=args.max_model_len, attn_type="decoder")

    @classmethod
    def from_engine_args(cls, args: EngineArgs) -> LLMEngine:
        print("INFO loading\n{not json}\n" * 3, flush=True)
        trouble = getattr(args, "trouble", "")
        if trouble == "refuses":
            raise ValueError("1 validation error for ModelConfig\n  Value error, no such architecture [type=x]")
        if trouble == "dies at once":
            print("terminate called: out of memory", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if trouble == "never ready":
            time.sleep(600)
        if trouble == "has workers":
            # Deaf to polite requests, as a worker in a kernel is.
            code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
            subprocess.Popen([sys.executable, "-c", code, "a-vllm-worker"])
        return cls(args)

    def get_supported_tasks(self) -> tuple[str, ...]:
        return ("generate", "classify")

    def add_request(self, name: str, prompt: Any, params: Any, lora_request: Any = None) -> None:
        self._left[name] = (list(prompt["prompt_token_ids"]), params, [])

    def abort_request(self, names: list[str]) -> None:
        for name in names:
            self._left.pop(name, None)

    def has_unfinished_requests(self) -> bool:
        return bool(self._left)

    def step(self) -> list[Any]:
        if self._trouble == "dies at work":
            print("Segmentation fault", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        if self._trouble == "raises at work":
            raise RuntimeError("CUDA out of memory.\nTried to allocate")
        if self._trouble == "slow":
            time.sleep(0.3)
        outputs = [self._stepped(name, *self._left[name]) for name in list(self._left)]
        outputs = [each for each in outputs if each.finished or each.streams]
        for each in outputs:
            if each.finished:
                del self._left[each.request_id]
        return outputs

    def _stepped(self, name: str, prompt: list[int], params: Any, out: list[int]) -> Any:
        if isinstance(params, PoolingParams):
            import torch

            data = SimpleNamespace(data=torch.tensor([_hash(prompt)]), streams=True)
            return SimpleNamespace(request_id=name, finished=True, outputs=data)
        token = 7 + int(_hash(prompt, out, params.seed) * 200)
        token = params.stop_token_ids[0] if params.stop_token_ids and token > 195 else token
        out.append(token)
        stopped = token in (params.stop_token_ids or ())
        finished = stopped or len(out) == params.max_tokens
        logprobs = None
        if params.logprob_token_ids is not None:
            values = {each: SimpleNamespace(logprob=-_hash(prompt, each)) for each in params.logprob_token_ids}
            logprobs = [values]
        streams = params.output_kind == "delta"
        found = SimpleNamespace(
            token_ids=[token] if streams else list(out),
            finish_reason=("stop" if stopped else "length") if finished else None,
            stop_reason=token if stopped else None,
            logprobs=logprobs,
        )
        return SimpleNamespace(
            request_id=name, finished=finished, outputs=[found], prompt_logprobs=None, streams=streams
        )
