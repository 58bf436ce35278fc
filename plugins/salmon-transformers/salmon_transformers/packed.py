"""Linear layers of a model that only reads, on an x86 CPU: their weights in oneDNN's own layout.

PyTorch multiplies float32 matrices with MKL, which on CPUs of other makers than its own leaves out their widest
instructions. oneDNN does not, and wants its weights laid out once; PyTorch's compiler does the same. The results are
float32 products as before, summed in another order.
"""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

#: rows are filled up to a multiple of this: oneDNN compiles a kernel for each number of rows, and keeps about 1,000
ROWS = 16


def can_pack(model: nn.Module) -> bool:
    """Whether the layers of this model can be packed here: float32, on a CPU whose PyTorch has oneDNN."""
    first = next(model.parameters(), None)
    return (
        first is not None
        and first.device.type == "cpu"
        and first.dtype == torch.float32
        and platform.machine().lower() in ("x86_64", "amd64")
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


@cache
def gains() -> bool:
    """Whether this CPU multiplies faster that way: MKL, on those of its maker, is as fast without filling up rows."""
    try:
        return "GenuineIntel" not in Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return True


class PackedLinear(nn.Module):
    """What `linear` computes, without gradients."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self._sizes = linear.in_features, linear.out_features
        self._weight: Any = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), 64 * ROWS)
        self._bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """[..., in] -> [..., out]"""
        inside, outside = self._sizes
        rows = inputs.reshape(-1, inside)
        count = len(rows)
        if extra := -count % ROWS:
            rows = functional.pad(rows, (0, 0, 0, extra))
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._weight, self._bias, "none", [], "")
        return product[:count].view(*inputs.shape[:-1], outside)


def pack(body: nn.Module) -> dict[str, nn.Linear]:
    """Replaces all linear layers. -> the replaced ones by name, for `unpack`."""
    found = {name: each for name, each in body.named_modules() if type(each) is nn.Linear}
    for name, each in found.items():
        body.set_submodule(name, PackedLinear(each))
    return found


def unpack(body: nn.Module, layers: dict[str, nn.Linear]) -> None:
    """Puts the layers back."""
    for name, each in layers.items():
        body.set_submodule(name, each)
