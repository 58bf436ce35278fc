"""What backends and engines say of memory, as far as it can be wrong by itself."""

from __future__ import annotations

from typing import Any

from salmon_core.api.memory import BYTES, ProcessMemory


def check_memory(found: tuple[Any, ...], where: str) -> None:
    """Passes name models of their process, numbers are possible, and what is trained says so."""
    for process in found:
        assert isinstance(process, ProcessMemory), f"{where} is a {type(process).__name__}, not a ProcessMemory"
        roles = [kept.role for kept in process.models]
        assert roles, f"{where}: a process keeps no model"
        assert len(roles) == len(set(roles)), f"{where}: two models have one role, of {roles}"
        assert process.phases, f"{where}: a process has no phase"
        assert process.processes >= 1, f"{where}: {process.processes} processes"
        assert process.share is None or 0 < process.share <= 1, f"{where}: takes {process.share} of a GPU"
        for kept in process.models:
            assert kept.model.dtype in (*BYTES, "auto"), f"{where}: the dtype {kept.model.dtype} is none"
            assert all(count >= 1 for count in kept.over), f"{where}: {kept.role} is divided over {kept.over}"
        for phase in process.phases:
            for each in phase.passes:
                assert each.role in roles, f"{where}: a pass of {each.role!r}, and there are {roles}"
                assert min(each.rows, each.tokens, each.bytes_each) > 0, f"{where}: {phase.name} is empty"
                assert phase.trains or not each.backward, f"{where}: {phase.name} goes backward and trains nothing"
