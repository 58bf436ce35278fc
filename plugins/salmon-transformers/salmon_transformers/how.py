"""How weights are held: chosen by options, the same for every model an engine opens. Imports nothing heavy."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

from salmon_core.errors import SalmonError
from salmon_core.kit.quantization import Quantization, missing, quantization_config


@dataclass(frozen=True, slots=True)
class How:
    """Attributes:
    attn_implementation: handed to transformers; None leaves the choice to it.
    quantization: of the linear layers; None: they stay as they are.
    device_map: `auto`: layers over all devices; None: all on the model's one device.
    """

    attn_implementation: str | None = None
    quantization: Quantization | None = None
    device_map: Literal["auto"] | None = None

    def arguments(self, device: Any, compute: Any) -> dict[str, Any]:
        """Further arguments of `from_pretrained`.

        Args:
            device: torch's, of the model; where to, unless all devices are used.
            compute: torch's dtype in which 4 bits are multiplied.

        Raises:
            SalmonError: bitsandbytes is not installed.
        """
        check_quantization(self.quantization)
        options: dict[str, Any] = {}
        if self.attn_implementation is not None:
            options["attn_implementation"] = self.attn_implementation
        if self.device_map is not None:
            options["device_map"] = self.device_map
        if self.quantization is not None:
            # Rounded weights cannot be moved afterwards, so they are put where they belong at once.
            options.setdefault("device_map", {"": str(device)})
            options["quantization_config"] = quantization_config(self.quantization, compute)
        return options


def check_quantization(quantization: Quantization | None) -> None:
    """Raises SalmonError where weights cannot be held so here."""
    if (problem := missing(quantization)) is not None:
        raise SalmonError(problem, where=sys.executable, hint="pip install bitsandbytes")
