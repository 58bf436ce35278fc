"""What a job of this backend keeps in memory, for `salmon plan`. Imports no trainer.

Read from TRL 1.16, transformers 5 and accelerate 1, and checked by `benchmarks/plan_memory.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from salmon_core.api import Job, KeptModel, Logits, ModelPass, ModelSpec, Phase, ProcessMemory
from salmon_core.data.yaml import read_yaml
from salmon_core.errors import ConfigError
from salmon_core.kit.memory import beside, low_rank, placed, prompt_tokens, reward_process
from salmon_core.kit.training import critic_start
from salmon_trl.layout import layout
from salmon_trl.options import DPOOptions, PPOOptions, RewardOptions, RolloutOptions, RowOptions, TrainOptions

#: TRL's fused output layer computes tiles of so many positions and columns of the vocabulary, never all logits
_POSITIONS, _COLUMNS = 4096, 32768
#: float32 copies of such a tile in its backward pass where there is no Triton: the tile, logits before and after
#: scaling, log-probabilities, probabilities, the gradient, and two on the way to it
_TILES_ON_CPU = 8
#: logits of the next token as generation has them: the model's, a copy, scaled, and their softmax, in float32
_NEXT = 16
#: bytes of a trained number in float32, of optimizers other than AdamW (which has 8), by transformers' names; those
#: that are paged lie in memory that the driver moves to the host
_OPTIMIZERS: Mapping[str, float] = {
    **dict.fromkeys(("adamw_8bit", "adamw_bnb_8bit"), 2 + 8 / 256),
    **dict.fromkeys(("paged_adamw", "paged_adamw_32bit", "paged_adamw_8bit"), 0.0),
    **dict.fromkeys(("sgd", "adafactor"), 0.0),
}


@dataclass(frozen=True, slots=True)
class _Sharding:
    """How accelerate divides a model over processes.

    Attributes:
        kind: `DDP`, `FSDP`, `DEEPSPEED`, or `` for one process.
        over: see `KeptModel.over`.
    """

    processes: int
    kind: str = ""
    over: tuple[int, int, int] = (1, 1, 1)
    host: frozenset[Any] = frozenset()


def sharding(job: Job) -> _Sharding:
    """By the launch configuration; where a file cannot be read, as if nothing were divided."""
    processes, values = job.launch.processes, _accelerate(job)
    processes = max(processes, int(values.get("num_processes") or 1))
    kind = str(values.get("distributed_type", "NO")).upper()
    if kind == "DEEPSPEED":
        own = values.get("deepspeed_config") or {}
        stage = int(own.get("zero_stage") or 0)
        over = tuple(processes if stage >= least else 1 for least in (3, 2, 1))
        offloads = {"optimizer": own.get("offload_optimizer_device"), "parameters": own.get("offload_param_device")}
        host = frozenset(part for part, device in offloads.items() if device in ("cpu", "nvme"))
        return _Sharding(processes, kind, (over[0], over[1], over[2]), host)
    if kind == "FSDP":
        own = values.get("fsdp_config") or {}
        full = str(own.get("fsdp_sharding_strategy", "FULL_SHARD")).upper() in ("FULL_SHARD", "1")
        if "fsdp_reshard_after_forward" in own:
            full = str(own["fsdp_reshard_after_forward"]).lower() in ("true", "full_shard")
        host = frozenset(("parameters", "gradients", "optimizer")) if own.get("fsdp_offload_params") else frozenset()
        return _Sharding(processes, kind, (processes if full else 1, processes, processes), host)
    return _Sharding(processes, "DDP" if processes > 1 else "")


def _accelerate(job: Job) -> Mapping[str, Any]:
    file = job.launch.accelerate_config
    if file is None or not Path(file).is_file():
        return {}
    try:
        values = read_yaml(Path(file))
    except ConfigError:
        return {}
    return values if isinstance(values, Mapping) else {}


@dataclass(frozen=True, slots=True)
class _How:
    """Precision of a job, as `salmon_trl.common` loads its models.

    Attributes:
        weights: dtype of the weights.
        width: bytes of an activation.
        host: whether it trains on a CPU.
    """

    options: TrainOptions
    shards: _Sharding
    weights: str
    width: int
    host: bool
    accumulates: bool

    @classmethod
    def of(cls, job: Job, options: TrainOptions) -> _How:
        """A GPU is taken to have bfloat16."""
        host, shards = job.model.device == "cpu", sharding(job)
        mixed = options.bf16 if options.bf16 is not None else not host
        dtype = job.model.dtype
        if dtype == "auto":
            dtype = "bfloat16" if options.lora is not None and mixed else "float32"
        found, _ = layout(options, shards.processes)
        accumulates = found is not None and found.accumulation > 1
        return cls(options, shards, dtype, 2 if mixed or dtype != "float32" else 4, host, accumulates)

    def trained(self, role: str, model: ModelSpec, head: Any, *, quantized: bool = True) -> KeptModel:
        """A model that is trained, whole or by an adapter.

        Gradients have the type of the weights; DistributedDataParallel keeps them once more in its buckets. AdamW keeps
        two moments of that type; DeepSpeed in half precision a copy in float32 as well.
        """
        lora = self.options.lora
        each = 4 if lora is not None or self.weights == "float32" else 2
        optimizer = float(2 * each)
        if (name := self.options.extra.get("optim")) in _OPTIMIZERS:
            optimizer = _OPTIMIZERS[name]
        gradient, weights = each * (2 if self.shards.kind == "DDP" else 1), self.weights
        if self.shards.kind == "DEEPSPEED" and self.width == 2:
            weights, gradient, optimizer = "bfloat16", 2, optimizer + 4 if each == 4 else 12.0
        return KeptModel(
            role,
            placed(model, weights),
            self.options.quantization if quantized else None,
            head,
            () if lora is None else (low_rank(lora),),
            "all" if lora is None else "adapters",
            gradient=gradient,
            optimizer=optimizer,
            over=self.shards.over,
            on_host=self.shards.host,
        )

    def frozen(self, role: str, model: ModelSpec) -> KeptModel:
        """A language model that is only read."""
        return KeptModel(role, placed(model, self.weights), over=self.shards.over)

    def passed(self, role: str, rows: int, tokens: int, *, backward: bool, logits: Logits | None = None) -> ModelPass:
        """A pass in training, or one with nothing kept."""
        lora = self.options.lora is not None
        return ModelPass(
            role,
            rows,
            tokens,
            self.width,
            backward=backward,
            checkpointed=backward and self.options.gradient_checkpointing,
            attention=self.options.attn_implementation or "sdpa",
            autocast=self.width == 2 and self.weights == "float32" and self.shards.kind != "DEEPSPEED",
            casts=lora and self.width == 2,
            logits=logits,
        )

    def tile(self, positions: int, *, backward: bool) -> Logits:
        """Of the fused output layer: one tile at a time, the embedding's gradient in float32 beside it."""
        whole = backward and self.options.lora is None
        each = 4 * _TILES_ON_CPU if self.host else self.width
        return Logits(min(positions, _POSITIONS), each, _COLUMNS, 4 if whole else 0)


def memory_of(job: Job, options: TrainOptions) -> tuple[ProcessMemory, ...]:
    """One kind of process: each holds all models."""
    how = _How.of(job, options)
    if isinstance(options, RewardOptions):
        rows = 2 * options.per_device_train_batch_size  # chosen and rejected in one pass
        passes = (how.passed("reward", rows, options.max_length, backward=True),)
        return (_process(how, (how.trained("reward", job.model, "score"),), (_training(how, passes),)),)
    if isinstance(options, DPOOptions):
        return (_preferred(how, job, options),)
    if isinstance(options, RolloutOptions):
        return _rollouts(how, job, options)
    assert isinstance(options, RowOptions)
    rows = options.per_device_train_batch_size
    logits = how.tile(rows * options.max_length, backward=True)
    passes = (how.passed("policy", rows, options.max_length, backward=True, logits=logits),)
    return (_process(how, (how.trained("policy", job.model, "language"),), (_training(how, passes),)),)


def _process(how: _How, models: tuple[KeptModel, ...], phases: tuple[Phase, ...]) -> ProcessMemory:
    return ProcessMemory(models, phases, processes=how.shards.processes, host=how.host)


def _training(how: _How, passes: tuple[ModelPass, ...], *, accumulates: bool = False, name: str = "training") -> Phase:
    return Phase(name, passes, trains=True, accumulates=accumulates or how.accumulates)


def _preferred(how: _How, job: Job, options: DPOOptions) -> ProcessMemory:
    """DPO: chosen and rejected in one pass of the policy, and one of the reference, a copy without an adapter."""
    rows, tokens = 2 * options.per_device_train_batch_size, options.max_length
    tile = how.tile(rows * tokens, backward=True)
    policy = how.trained("policy", job.model, "language")
    models = (policy,) if options.lora is not None else (policy, how.frozen("reference", job.model))
    passes = (how.passed("policy", rows, tokens, backward=True, logits=tile),)
    return _process(how, models, (_training(how, passes),))


def _rollouts(how: _How, job: Job, options: RolloutOptions) -> tuple[ProcessMemory, ...]:
    """Algorithms with rollouts: generation of all completions of a batch at once, passes in small parts, training."""
    rows, new = options.per_device_train_batch_size, options.max_completion_length
    prompt = prompt_tokens(job)
    tokens, at_once = prompt + new, max(1, options.generation_batch_size // how.shards.processes)
    # Triton scores the positions of completions only; elsewhere prompts are scored too.
    scored = rows * (tokens if how.host else new)
    models = [how.trained("policy", job.model, "language")]
    shared = isinstance(options, PPOOptions) and options.sharing == "adapters"
    if isinstance(options, PPOOptions):
        models = _with_critic(how, job, options, models[0])
        penalty = options.kl_coef
    else:
        penalty = getattr(options, "beta", 0.0)
    if penalty and options.lora is None:
        models.append(how.frozen("reference", job.model))
    phases = []
    if not options.use_vllm:
        read = how.passed("policy", at_once, prompt, backward=False, logits=Logits(at_once, _NEXT))
        phases.append(Phase("prompts", (replace(read, cached=at_once * prompt),)))
        phases.append(Phase("generation", (replace(read, tokens=1, cached=at_once * tokens),)))
    looked = how.passed("policy", rows, tokens, backward=False, logits=how.tile(scored, backward=False))
    policy = how.passed("policy", rows, tokens, backward=True, logits=how.tile(scored, backward=True))
    phases.append(Phase("log-probabilities", (looked,)))
    if shared:
        # The critic's adapter has a backward pass of its own before the policy's.
        value = how.passed("policy", rows, tokens, backward=True)
        phases += [_training(how, (value,), name="training of the critic"), _training(how, (policy,), accumulates=True)]
    elif isinstance(options, PPOOptions):
        critic = how.passed("critic", rows, tokens, backward=True)
        phases.append(_training(how, (critic, policy)))
    else:
        phases.append(_training(how, (policy,)))
    if shared and job.reward is not None and job.reward.model is not None:
        phases.append(Phase("reward", (how.passed("policy", rows, job.reward.limits.total, backward=False),)))
    process = _process(how, tuple(models), tuple(phases))
    if not shared:
        process = beside(process, reward_process(job), "reward")
    return (process, *_vllm(how, job, options, tokens))


def _with_critic(how: _How, job: Job, options: PPOOptions, policy: KeptModel) -> list[KeptModel]:
    """The policy, and its critic: further adapters on the same base, or a model of its own, which is not quantised."""
    if options.sharing == "adapters" and options.lora is not None:
        value = low_rank(options.critic_lora or options.lora)
        scores = job.reward is not None and job.reward.model is not None
        reward = (low_rank(options.lora, trained=False),) if scores else ()
        return [replace(policy, adapters=(*policy.adapters, value, *reward), value_heads=1)]
    start = critic_start(job, options.critic)
    model = job.model
    if start == "reward" and job.reward is not None and job.reward.model is not None:
        model = job.reward.model
    elif start != "policy":
        model = ModelSpec(start)
    critic = how.trained("critic", model, "score", quantized=False)
    if (lora := options.critic_lora or options.lora) is not None:
        critic = replace(critic, adapters=(low_rank(lora),), trained="adapters")
    return [policy, critic]


def _vllm(how: _How, job: Job, options: RolloutOptions, tokens: int) -> tuple[ProcessMemory, ...]:
    """A vLLM that shares the trainer's GPU takes its share of it, whatever it needs."""
    if not options.use_vllm or options.vllm_mode != "colocate":
        return ()
    model = KeptModel("policy", placed(job.model, "bfloat16" if how.width == 2 else "float32"))
    phase = Phase("generation", (ModelPass("policy", 1, tokens, how.width, cached=tokens),))
    share = options.vllm_gpu_memory_utilization
    return (ProcessMemory((model,), (phase,), "vLLM", how.shards.processes, share=share, host=how.host),)
