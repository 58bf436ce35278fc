"""accelerate shards no model on a CPU, whatever its file says, though torch does: here it does too.

Active with SALMON_TEST_FSDP=1 only. Nothing is replaced: two processes on a CPU count as two on GPUs where accelerate
decides whether to shard.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
from typing import Any


def shards(module: Any) -> None:
    first = module.AcceleratorState.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        module.PartialState(cpu=True)
        shared = module.PartialState._shared_state
        if shared.get("distributed_type") is module.DistributedType.MULTI_CPU:
            shared["distributed_type"] = module.DistributedType.MULTI_GPU
        first(self, *args, **kwargs)

    module.AcceleratorState.__init__ = __init__


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "accelerate.state":
            return None
        sys.meta_path.remove(self)
        spec: Any = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            run(module)
            shards(module)

        spec.loader.exec_module = exec_module
        return spec


if os.environ.get("SALMON_TEST_FSDP") == "1":
    sys.meta_path.insert(0, Finder())
