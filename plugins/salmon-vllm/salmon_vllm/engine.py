"""The engine `vllm`. transformers is imported for a tokenizer, vLLM in another process only."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salmon_core.api import Ability, Engine, KeptModel, ModelPass, ModelSpec, Phase, ProcessMemory, Use
from salmon_core.api.memory import BYTES
from salmon_core.errors import SalmonError
from salmon_core.kit.hf_files import check_labels, check_padding, locate, named_base, readable
from salmon_vllm import options
from salmon_vllm.adapter import adapter_rank

if TYPE_CHECKING:
    from salmon_core.kit.hf import HFCodec
    from salmon_vllm.models import VLLMChooser, VLLMSampler, VLLMScorer
    from salmon_vllm.process import Child

_DTYPES = ("auto", "float32", "bfloat16", "float16")
#: vLLM's own: share of a GPU's memory, and tokens that go through the model at once
_SHARE, _AT_ONCE = 0.9, 2048
_HINT = "set the engine's option `python` to an interpreter that has vLLM"


class VLLMEngine(Engine):
    """Samples, judges and scores with vLLM.

    It does not say that it is deterministic: a seed belongs to a sample, but what else is in a batch moves the last
    bits of a number, and in half precision that is enough to change a token.
    """

    deterministic = False

    Options = options.Options

    def __init__(self, options: options.Options | None = None):
        self._options = options or self.Options()

    def codec(self, model: ModelSpec) -> HFCodec:
        """That model's tokenizer; for texts that leave vLLM room for one more token.

        Raises:
            SalmonError: no such model, no usable tokenizer, or remote code that was not opted in.
        """
        from salmon_core.kit.hf import HFCodec, open_codec

        codec = open_codec(model)
        limits = [limit for limit in (codec.max_length, self._options.max_model_len) if limit is not None]
        return HFCodec(
            codec.tokenizer,
            name=codec.name,
            max_length=min(limits) - 1 if limits else None,
            fallback_chat_template=model.fallback_chat_template,
        )

    def check(self, model: ModelSpec, ability: Ability) -> None:
        """Whether the model's files and the interpreter are there and are what they have to be; reads no weights.

        Raises:
            SalmonError: as the method of that ability, but for what only vLLM tells.
        """
        codec, spec = self.codec(model), named_base(model)
        locate(spec, weights=True)
        if spec.dtype not in _DTYPES:
            raise SalmonError(f"unknown dtype {spec.dtype!r}", hint=f"use one of {', '.join(_DTYPES)}")
        _device(spec.device, self._options.tensor_parallel_size)
        if spec.adapter is not None:
            adapter_rank(spec, ability)
        if ability == "scorer":
            config = _config(spec)
            check_labels(config, spec)
            if not spec.conversational:
                check_padding(config, codec.tokenizer, spec)
            names = config.architectures or []
            if not all(name.endswith("ForSequenceClassification") for name in names):
                raise SalmonError(
                    f"vLLM reads the score of {', '.join(names)} in another way than its last token",
                    where=spec.path,
                    hint="score it with the engine transformers",
                )
        self._interpreter()

    def memory(self, model: ModelSpec, use: Use) -> ProcessMemory:
        """Its share of each GPU; needed of it are the weights, and keys and values of what is asked at once."""
        options, host = self._options, model.device == "cpu"
        longest = use.text or use.prompt + use.new
        if options.max_model_len is not None:
            longest = min(longest, options.max_model_len)
        width = BYTES.get(model.dtype, 4 if host else 2)
        read = ModelPass("model", 1, max(longest, _AT_ONCE), width, cached=max(1, use.rows) * longest)
        kept = KeptModel("model", model, head="score" if use.ability == "scorer" else "language")
        share = None if host or options.kv_cache_gib is not None else options.gpu_memory_utilization or _SHARE
        spread = options.tensor_parallel_size
        return ProcessMemory((kept,), (Phase("vLLM", (read,)),), share=share, spread=spread, host=host)

    def sampler(self, model: ModelSpec) -> VLLMSampler:
        """A language model to sample from.

        Raises:
            SalmonError: no such model, remote code not opted in, pickled weights, no vLLM, one that cannot open it, ...
        """
        from salmon_vllm.models import VLLMSampler

        child, codec, config = self._opened(model, "sampler")
        return VLLMSampler(child, codec, _vocabulary(config), _eos_ids(named_base(model), config, codec))

    def chooser(self, model: ModelSpec) -> VLLMChooser:
        """A language model to choose with; raises as `sampler` does."""
        from salmon_vllm.models import VLLMChooser

        child, codec, config = self._opened(model, "chooser")
        return VLLMChooser(child, codec, _vocabulary(config))

    def turned(self, opened: Any, ability: Ability) -> VLLMChooser | None:
        """A sampler's process, to choose with; not the other way round, since on a CPU seeds have to be asked for."""
        from salmon_vllm.models import VLLMSampler

        return opened.chooser() if isinstance(opened, VLLMSampler) and ability == "chooser" else None

    def scorer(self, model: ModelSpec) -> VLLMScorer:
        """A reward model.

        Raises:
            SalmonError: as `sampler`; or it has not one label, or no pad token apart from its EOS.
        """
        from salmon_vllm.models import VLLMScorer

        child, codec, config = self._opened(model, "scorer")
        return VLLMScorer(child, codec, _vocabulary(config))

    def _opened(self, model: ModelSpec, ability: Ability) -> tuple[Child, HFCodec, Any]:
        from salmon_vllm.process import Child

        self.check(model, ability)
        codec, spec = self.codec(model), named_base(model)
        source, config = locate(spec, weights=True), _config(spec)
        device, env = _device(spec.device, self._options.tensor_parallel_size)
        values: dict[str, Any] = {
            **self._options.arguments(),
            "model": os.path.abspath(source) if os.path.isdir(source) else source,
            "skip_tokenizer_init": True,
            "trust_remote_code": spec.trust_remote_code,
            "dtype": _dtype(spec, config),
            "load_format": "safetensors",
            "generation_config": "vllm",
        }
        if ability == "scorer":
            values |= {"runner": "pooling", "convert": "classify"}
        else:
            values |= {"runner": "generate", "logprobs_mode": "raw_logprobs"}
        lora = None
        if spec.adapter is not None:
            lora = str(Path(spec.adapter).expanduser().absolute())
            values |= {"enable_lora": True, "max_lora_rank": adapter_rank(spec, ability), "max_loras": 1}
        kinds = {"pooling": ability == "scorer", "seeds": ability == "sampler"}
        order = {"open": values, **kinds, "lora": lora, "device": device}
        limit = self._options.start_timeout
        return Child(self._interpreter(), order, env=env, limit=limit, where=spec.path), codec, config

    def _interpreter(self) -> str:
        """The interpreter that has vLLM.

        Raises:
            SalmonError: there is none.
        """
        python = self._options.interpreter
        if python is None:
            raise SalmonError("there is no such interpreter", where=f"python: {self._options.python}", hint=_HINT)
        if (lacking := _lacking(python)) is not None:
            raise SalmonError(lacking, where=python, hint=_HINT)
        return python


@lru_cache(maxsize=8)
def _lacking(python: str) -> str | None:
    """Why an interpreter cannot run vLLM, as far as can be told without importing it."""
    if python == sys.executable:
        # A folder of that name is no package.
        return None if getattr(importlib.util.find_spec("vllm"), "origin", None) else "has no vLLM"
    find = "getattr(importlib.util.find_spec('vllm'), 'origin', None)"
    code = f"import importlib.util, sys; sys.exit(0 if {find} else 3)"
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, timeout=60, check=False, cwd="/", env=env)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"is no interpreter that starts: {error}"
    return {0: None, 3: "has no vLLM"}.get(
        done.returncode, f"is no interpreter that works (exit code {done.returncode})"
    )


def _config(spec: ModelSpec) -> Any:
    from transformers import AutoConfig

    with readable(spec, "its configuration"):
        return AutoConfig.from_pretrained(locate(spec), trust_remote_code=spec.trust_remote_code)


def _dtype(spec: ModelSpec, config: Any) -> str:
    """vLLM's own `auto` would make float16 or bfloat16 of float32."""
    return str(config.dtype or "float32").removeprefix("torch.") if spec.dtype == "auto" else spec.dtype


def _device(name: str, size: int) -> tuple[str, dict[str, str]]:
    """What vLLM has to run on, and the environment that lets it see the one GPU that is named.

    Raises:
        SalmonError: no such device.
    """
    kind, _, index = name.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not (kind == "cuda" and index.isdecimal())):
        raise SalmonError(f"unknown device {name!r}", hint="use auto, cpu, cuda or cuda:N")
    if not index:
        return kind, {}
    if size > 1:
        raise SalmonError(f"tensor_parallel_size: {size} needs more than {name}", hint="use `device: cuda`")
    visible = [each.strip() for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each.strip()]
    if visible and int(index) >= len(visible):
        raise SalmonError(f"device {name!r} asked for, but there are {len(visible)} GPUs", hint="use `device: auto`")
    return kind, {"CUDA_VISIBLE_DEVICES": visible[int(index)] if visible else index}


def _vocabulary(config: Any) -> int:
    return int(config.get_text_config().vocab_size)


def _eos_ids(spec: ModelSpec, config: Any, codec: HFCodec) -> frozenset[int]:
    """Where a text ends: as the model's generation settings say, and the tokenizer."""
    from transformers import GenerationConfig

    found: Any = None
    try:
        found = GenerationConfig.from_pretrained(locate(spec)).eos_token_id
    except OSError:  # it has no such file
        found = config.get_text_config().eos_token_id
    several = found if isinstance(found, list | tuple) else [found]
    return frozenset([codec.eos_id, *(int(each) for each in several if each is not None)])
