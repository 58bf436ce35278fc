"""OpenRLHF's flags: which exist, which are salmon's to set, which are refused and why."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from salmon_core.errors import Problem

Flags = dict[str, Any]
"""A flag's name without its dashes -> its value; True for a switch, a list for several values."""

_TEXTS = "the texts reach OpenRLHF final: anything it does to them would change what the reward sees"
_ROLLOUTS = "interventions are counted by generated batch, which this would make ambiguous"
_BONUS = "a penalty of the trainer's own would not be in the reward that salmon shows; use a bonus"
_HEAD = "OpenRLHF 0.11 does not save the score head of an adapter"
_TOKEN = "a secret in a command line can be read by anyone on the machine; salmon's events and tb/ have the numbers"

#: flag -> why it cannot be set. Broken upstream (0.11.2), or against a promise of salmon.
REFUSED: Mapping[str, str] = {
    "reward.normalize_enable": "broken in OpenRLHF 0.11: mean and deviation load as garbage, and nothing fails",
    "ds.load_in_4bit": "needs LoRA, which OpenRLHF 0.11 cannot do for RL or reward models; untested where it can",
    "ds.value_head_prefix": "an exported reward model has its head at `score`, else nothing else can load it",
    "data.apply_chat_template": _TEXTS,
    "data.input_template": _TEXTS,
    "data.tokenizer_chat_template": _TEXTS,
    "data.prompt_key": _TEXTS,
    "data.multiturn": _TEXTS,
    "data.disable_fast_tokenizer": _TEXTS,
    "data.prompt_probs": _TEXTS,
    "data.dataset_probs": _TEXTS,
    "model.pretrain_mode_enable": _TEXTS,
    "use_ms": "models and data are on disk already; this would look elsewhere",
    "algo.dynamic_filtering_enable": _ROLLOUTS,
    "algo.dynamic_filtering_range": _ROLLOUTS,
    "train.async_enable": _ROLLOUTS,
    "train.async_queue_size": _ROLLOUTS,
    "train.partial_rollout_enable": _ROLLOUTS,
    "train.num_episodes": "visits of a prompt are `train.epochs`, each with principles drawn anew",
    "rollout.vllm_generate_batch_size": _ROLLOUTS,
    "eval.dataset": "the rewards of an evaluation would count as training rollouts; use `evaluate:`",
    "eval.steps": "there is no evaluation inside this trainer; use `evaluate:`",
    "reward.overlong_buffer_len": _BONUS,
    "reward.overlong_penalty_factor": _BONUS,
    "reward.stop_properly_penalty_coef": _BONUS,
    "reward.remote_url": "rewards come from salmon's own server",
    "reward.model_name_or_path": "rewards come from salmon's own server",
    "ckpt.disable_ds": "without checkpoints a run cannot resume",
    "logger.wandb.key": _TOKEN,
    "logger.wandb.org": _TOKEN,
    "logger.wandb.group": _TOKEN,
    "logger.wandb.project": _TOKEN,
}
#: flags that OpenRLHF carries out with flash-attention only, and so switches it on silently
_FLASH = ("ds.packing_samples", "train.dynamic_batch_enable", "ds.ring_attn_size")


@cache
def known(program: str) -> Mapping[str, Mapping[str, Any]]:
    """Flags of one of OpenRLHF's programs: name -> {kind: switch | one | many, choices}."""
    values = json.loads((Path(__file__).parent / "flags.json").read_text(encoding="utf-8"))
    return values[program]  # type: ignore[no-any-return]


def problems(program: str, ours: Flags, extra: Mapping[str, Any], attention: str) -> Iterator[Problem]:
    """What is wrong with `extra`, all of it."""
    table = known(program)
    for name, value in extra.items():
        where = f"options.extra.{name}"
        if name.startswith("ds.lora."):
            yield Problem(where, lora_reason(program) or "adapters are set by the option `lora`", "leave it out")
        elif name in REFUSED:
            yield Problem(where, f"is refused: {REFUSED[name]}", "leave it out")
        elif name not in table:
            near = difflib.get_close_matches(name, [*table], 1)
            yield Problem(where, f"{program} has no such flag", f"did you mean {near[0]}?" if near else None)
        elif name in ours or name in _OWNED:
            yield Problem(where, "is set by salmon from its own options", "leave it out")
        elif (table[name]["kind"] == "switch") is not (value is True):
            expected = "`true`, or left out" if table[name]["kind"] == "switch" else "a value"
            yield Problem(where, f"takes {expected}, not {json.dumps(value)}")
        elif "choices" in table[name] and value not in table[name]["choices"]:
            yield Problem(where, f"is one of {', '.join(table[name]['choices'])}, not {json.dumps(value)}")
        elif name in _FLASH and (value is True or value != 1) and "flash" not in attention:
            yield Problem(
                where, f"needs flash-attention, not {attention}", "set attn_implementation: flash_attention_2"
            )


#: ours even where a plan leaves them out, because their absence means something
_OWNED = frozenset(
    {
        "ds.adam_offload",
        "ref.offload",
        "model.gradient_checkpointing_enable",
        "actor.gradient_checkpointing_enable",
        "model.margin_loss_enable",
        "model.ipo_enable",
        "train.colocate_all",
        "train.colocate_actor_ref",
        "train.colocate_critic_reward",
        "vllm.enable_sleep",
        "ds.enable_sleep",
        "vllm.enforce_eager",
        "algo.kl.use_loss",
        "algo.kl.estimator",
        "critic.model_name_or_path",
        "local_rank",
    }
)


def lora_reason(program: str) -> str | None:
    """Why a program cannot train an adapter, or None."""
    return {
        "train_ppo_ray": "OpenRLHF 0.11 cannot send the weights of an adapter to vLLM (the sync fails)",
        "train_rm": _HEAD,
    }.get(program)


def as_argv(flags: Flags) -> tuple[str, ...]:
    """`--name value ...` for each."""
    argv: list[str] = []
    for name, value in flags.items():
        argv.append(f"--{name}")
        if value is not True:
            argv += [_text(item) for item in (value if isinstance(value, list | tuple) else [value])]
    return tuple(argv)


def _text(value: Any) -> str:
    # argparse takes -1e-05 for a flag, but not -0.00001.
    if isinstance(value, float) and value < 0:
        return f"{value:f}"
    return str(value)
