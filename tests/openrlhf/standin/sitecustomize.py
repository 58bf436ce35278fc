"""Patches a few modules right after they are imported; see the README here. Active with SALMON_TEST_STANDIN=1 only."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

_looking = threading.local()


def torch(module: Any) -> None:
    """Device calls that mean nothing without a device."""
    if module.cuda.is_available():
        raise RuntimeError("the stand-in for CUDA is meant for machines without a GPU")
    device = module.device("cpu")
    for name in ("set_device", "synchronize", "current_stream"):
        setattr(module.cuda, name, lambda *_, **__: None)
    module.cuda.current_device = lambda: device


def device_mesh(module: Any) -> None:
    """OpenRLHF asks for a mesh of `cuda` by name."""
    make = module.init_device_mesh

    def init_device_mesh(device_type: str, *args: Any, **kwargs: Any) -> Any:
        return make("cpu" if device_type == "cuda" else device_type, *args, **kwargs)

    module.init_device_mesh = init_device_mesh
    sys.modules["torch.distributed"].init_device_mesh = init_device_mesh  # type: ignore[attr-defined]


class _CpuTorch:
    """`torch` for one module that names its device f"cuda:{current_device()}"."""

    def __init__(self, real: Any):
        self._real = real

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name != "device":
            return found
        return lambda device, *args: found("cpu" if str(device).startswith("cuda") else device, *args)


def replay_buffer(module: Any) -> None:
    module.torch = _CpuTorch(module.torch)


def pynccl(module: Any) -> None:
    """Broadcasts over the TCP store that vLLM makes for the group anyway."""

    class Communicator:
        available, disabled = True, False

        def __init__(self, group: Any, device: Any, library_path: str | None = None):
            self.group, self.rank, self.world_size = group, group.rank, group.world_size

        def broadcast(self, tensor: Any, src: int, stream: Any = None) -> None:
            sent = self.group.broadcast(tensor.detach().cpu(), src)
            if self.rank != src:
                tensor.copy_(sent)

    module.PyNcclCommunicator = Communicator


def vllm_layers(module: Any) -> None:
    """No prepacked copies of weights: what is loaded later would not be seen."""

    def plain(layer: Any, remove_weight: bool) -> None:
        import torch

        layer.cpu_linear = torch.nn.functional.linear

    module.dispatch_cpu_unquantized_gemm = plain


def vllm_worker(module: Any) -> None:
    """The receiving tensor of a weight is made on `cuda` by name."""
    real = module.WorkerWrap.update_weight

    def update_weight(self: Any, *args: Any, **kwargs: Any) -> Any:
        import torch

        empty = torch.empty
        torch.empty = lambda *a, **k: empty(*a, **{**k, "device": "cpu"})
        try:
            return real(self, *args, **kwargs)
        finally:
            torch.empty = empty

    module.WorkerWrap.update_weight = update_weight


PATCHES: dict[str, Callable[[Any], None]] = {
    "torch": torch,
    "torch.distributed.device_mesh": device_mesh,
    "openrlhf.trainer.ppo_utils.replay_buffer": replay_buffer,
    "openrlhf.trainer.ray.vllm_worker_wrap": vllm_worker,
    "vllm.distributed.device_communicators.pynccl": pynccl,
    "vllm.model_executor.layers.utils": vllm_layers,
}


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules above by the other finders, and patches them once they are executed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in PATCHES or getattr(_looking, "name", None) == name:
            return None
        before, _looking.name = getattr(_looking, "name", None), name
        try:
            spec = importlib.util.find_spec(name)
        finally:
            _looking.name = before
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_patch(module: ModuleType) -> None:
            execute(module)
            PATCHES[name](module)

        spec.loader.exec_module = execute_and_patch  # type: ignore[method-assign]
        return spec


if os.environ.get("SALMON_TEST_STANDIN") == "1":
    sys.meta_path.insert(0, Finder())
