"""What a job of this backend keeps in memory, for `salmon plan`. Imports no trainer.

Read from OpenRLHF 0.11 (`utils/deepspeed/deepspeed_utils.py`, `models/actor.py`, `trainer/ray/`) and DeepSpeed 0.19;
not measured: it trains on GPUs only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from salmon_core.api import Job, KeptModel, Logits, ModelPass, ModelSpec, Phase, ProcessMemory
from salmon_core.kit.memory import low_rank, placed, reward_process
from salmon_openrlhf.command import critic_of
from salmon_openrlhf.layout import Layout
from salmon_openrlhf.options import PolicyOptions, RewardOptions, RowOptions, SFTOptions, TrainOptions

#: numbers that DeepSpeed gathers (ZeRO-3: `max_live_parameters`) and reduces (`reduce_bucket_size`) at once, its
#: defaults: OpenRLHF leaves both at `auto`
_GATHERED, _REDUCED = 1_000_000_000, 500_000_000
#: bytes of a logit in training: float32, its gradient, the rounded gradient; without flash-attn's loss one copy more
_LOGIT, _LOGIT_PLAIN = 10, 14
#: and where nothing is kept: as the model made it, and in float32
_LOGIT_READ = 6


def memory_of(job: Job, options: TrainOptions, layout: Layout) -> tuple[ProcessMemory, ...]:
    """One kind of process in stages on rows; one for each role in RL."""
    how = _How(options, layout.gpus * options.nodes)
    if isinstance(options, PolicyOptions):
        return _roles(how, job, options, layout)
    assert isinstance(options, RowOptions)
    rows = options.per_device_train_batch_size
    if isinstance(options, RewardOptions):
        kept = how.trained("reward", job.model, "score")
        each = how.passed("reward", 2 * rows, options.max_length, backward=True, logits=False)
    else:
        kept = how.trained("policy", job.model, "language")
        if isinstance(options, SFTOptions) and options.lora is not None:
            kept = replace(kept, adapters=(low_rank(options.lora, bytes_each=2),), trained="adapters")
        each = how.passed("policy", rows, options.max_length, backward=True)
    return (ProcessMemory((kept,), (how.training(each),), processes=how.processes),)


@dataclass(frozen=True, slots=True)
class _How:
    options: TrainOptions
    processes: int

    def trained(self, role: str, model: ModelSpec, head: Literal["language", "score"]) -> KeptModel:
        """bfloat16 with DeepSpeed: gradients in bfloat16, and where the optimizer lies on the GPU once more in float32
        while it steps; the optimizer keeps a copy of the weights and two moments in float32."""
        stage, count, away = self.options.zero_stage, self.processes, self.options.offload_optimizer
        return KeptModel(
            role,
            placed(model, _half(model)),
            head=head,
            trained="all",
            gradient=2 if away else 6,
            optimizer=12,
            over=(count if stage == 3 else 1, count if stage >= 2 else 1, count if stage >= 1 else 1),
            buffers=(_GATHERED if stage == 3 else 0) + (_REDUCED if stage else 0),
            on_host=frozenset(("optimizer",)) if away else frozenset(),
        )

    def read(self, role: str, model: ModelSpec, *, away: bool) -> KeptModel:
        """A frozen language model; divided only by ZeRO-3."""
        whole = self.options.zero_stage != 3
        return KeptModel(
            role,
            placed(model, _half(model)),
            over=(1 if whole else self.processes, 1, 1),
            buffers=0 if whole else _GATHERED,
            on_host=frozenset(("parameters",)) if away else frozenset(),
        )

    def passed(self, role: str, rows: int, tokens: int, *, backward: bool, logits: bool = True) -> ModelPass:
        """Logits of all positions, prompts included, are made and turned into float32."""
        flash = self.options.attn_implementation.startswith("flash")
        each = (_LOGIT if flash else _LOGIT_PLAIN) if backward else _LOGIT_READ
        return ModelPass(
            role,
            rows,
            tokens,
            2,
            backward=backward,
            checkpointed=backward and self.options.gradient_checkpointing,
            attention=self.options.attn_implementation,
            logits=Logits(rows * tokens, each) if logits else None,
        )

    def training(self, *passes: ModelPass) -> Phase:
        """Gradients are there from the first pass on."""
        return Phase("training", passes, trains=True, accumulates=True)


def _half(model: ModelSpec) -> str:
    return "float16" if model.dtype == "float16" else "bfloat16"


def _roles(how: _How, job: Job, options: PolicyOptions, layout: Layout) -> tuple[ProcessMemory, ...]:
    """Actors of Ray: policy, reference, critic, vLLM's engines, and the reward server beside them.

    With `colocate: all` they share GPUs; `sleep` then brings optimizer states and gradients to the host, and empties
    vLLM, while another has its turn. The weights of policy and critic stay.
    """
    rows, read = options.per_device_train_batch_size, layout.rollout_micro_batch
    tokens = options.max_prompt_length + options.max_completion_length
    together = options.colocate == "all"
    turns = together and options.sleep
    asleep = frozenset(("parameters",)) if turns else frozenset()
    place = {"all": ("shared",) * 4, "actor_ref": ("policy", "policy", "critic", "vLLM")}
    gpus = place.get(options.colocate, ("policy", "reference", "critic", "vLLM"))

    def process(name: str, kept: KeptModel, gpu: str, *phases: Phase, turn: bool = True) -> ProcessMemory:
        own = name if turns and turn else ""
        return ProcessMemory(
            (kept,), phases, name, how.processes, gpu=gpu, turn=own, asleep=asleep if own else frozenset()
        )

    looked = Phase("log-probabilities", (how.passed("policy", read, tokens, backward=False),))
    training = how.training(how.passed("policy", rows, tokens, backward=True))
    found = [process("policy", how.trained("policy", job.model, "language"), gpus[0], looked, training)]
    if options.kl > 0:
        kept = how.read("reference", job.model, away=options.offload_reference)
        phase = Phase("log-probabilities", (how.passed("reference", read, tokens, backward=False),))
        found.append(process("reference", kept, gpus[1], phase, turn=False))
    if (critic := critic_of(job, options)) is not None:
        kept = how.trained("critic", ModelSpec(critic, dtype=job.model.dtype), "score")
        phase = how.training(how.passed("critic", rows, tokens, backward=True, logits=False))
        found.append(process("critic", kept, gpus[2], phase))
    return (*found, _vllm(job, options, layout, gpus[3], tokens, turns=turns), *_server(job))


def _vllm(job: Job, options: PolicyOptions, layout: Layout, gpu: str, tokens: int, *, turns: bool) -> ProcessMemory:
    kept = KeptModel("policy", placed(job.model, "bfloat16"))
    each = ModelPass("policy", 1, tokens, 2, cached=tokens)
    return ProcessMemory(
        (kept,),
        (Phase("generation", (each,)),),
        "vLLM",
        layout.engines,
        gpu=gpu,
        turn="vLLM" if turns else "",
        share=options.vllm_gpu_memory_utilization,
        spread=options.vllm_tensor_parallel_size,
    )


def _server(job: Job) -> tuple[ProcessMemory, ...]:
    """The reward server, on a GPU of its own (`reward_gpu`), or on the first of the others."""
    found = reward_process(job)
    return () if found is None else (replace(found, name="reward server", gpu="reward server"),)
