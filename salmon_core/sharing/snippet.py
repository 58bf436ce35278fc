"""Code for a card that scores, or samples, with nothing but transformers, and prints the same numbers as we do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from salmon_core.api.templates import RewardConversation, Template
from salmon_core.reward.markers import SLOT
from salmon_core.sharing.document import RewardDocument

#: what a card's code scores; short, so that it is cut to no model's lengths
PROMPT, COMPLETION = "Is water wet?", "Yes, it is."


def scoring_code(document: RewardDocument, path: str, *, adapter: bool = False) -> str:
    """Python that loads a sequence classifier and prints its score of one answer under each principle.

    Args:
        path: of the model, as the code names it.
        adapter: whether the folder holds an adapter alone, which names its base.
    """
    template, how = document.to_template(), document.to_template().conversation
    principles = {each.name: each.text for each in document.principles if each.text is not None}
    principles = principles or {"kind": "The answer is kind."}
    lines = ["import torch", "from transformers import AutoModelForSequenceClassification, AutoTokenizer", ""]
    lines += [f"path = {path!r}", "tokenizer = AutoTokenizer.from_pretrained(path)"]
    lines += _loading(document.dtype, adapter)
    lines += ["principles = {", *(f"    {name!r}: {text!r}," for name, text in principles.items()), "}", "", ""]
    lines += ["def score(prompt, completion, principles):"]
    lines += [f"    {line}" for line in _asked(document, template, how)]
    lines += [
        '    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids',
        "    with torch.no_grad():",
        "        return model(input_ids=ids).logits[0, 0].item()",
        "",
        "",
        f"prompt, completion = {PROMPT!r}, {COMPLETION!r}",
        "for name, text in principles.items():",
        "    print(name, score(prompt, completion, [text]))",
    ]
    return "\n".join(lines) + "\n"


def sampling_code(path: str, chat_template: str | None = None) -> str:
    """Python that loads a policy and prints its answer."""
    lines = ["from transformers import AutoModelForCausalLM, AutoTokenizer", ""]
    lines += [f"path = {path!r}", "tokenizer = AutoTokenizer.from_pretrained(path)"]
    lines += ["model = AutoModelForCausalLM.from_pretrained(path).eval()"]
    lines += [f"messages = [{{'role': 'user', 'content': {PROMPT!r}}}]"]
    lines += _chat("messages", chat_template, add_generation_prompt=True)
    lines += [
        'ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids',
        "answer = model.generate(input_ids=ids, do_sample=False, max_new_tokens=48)",
        "print(tokenizer.decode(answer[0, ids.shape[1] :], skip_special_tokens=True))",
    ]
    return "\n".join(lines) + "\n"


def _loading(dtype: str, adapter: bool) -> list[str]:
    kind = repr(dtype) if dtype == "auto" else f"torch.{dtype}"
    if not adapter:
        return [f"model = AutoModelForSequenceClassification.from_pretrained(path, dtype={kind}).eval()"]
    return [
        "from peft import PeftConfig, PeftModel",
        "",
        "base = PeftConfig.from_pretrained(path).base_model_name_or_path",
        f"model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype={kind})",
        "if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:",
        "    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)",
        "model.config.get_text_config().pad_token_id = tokenizer.pad_token_id",
        "model = PeftModel.from_pretrained(model, path).eval()",
    ]


def _asked(document: RewardDocument, template: Template, how: RewardConversation | None) -> list[str]:
    if how is not None:
        return _turns(template, how, document.chat_template)
    return _text(template, document.bos, document.eos)


def _text(template: Template, bos: str, eos: str) -> list[str]:
    """The text by the template's own pieces, in its own order."""
    names = {"instruction": "prompt", "completion": "completion"}
    return [
        f"rules = ''.join({_joined(template.principle, {'principle': 'each'})} for each in principles)",
        "text = (",
        *(f"    {line}" for line in _sum(_pieces(bos + template.reward, names))),
        "    + rules",
        *(f"    + {line}" for line in _literals(template.score + eos)),
        ")",
    ]


def _turns(template: Template, how: RewardConversation, chat_template: str | None) -> list[str]:
    """The conversation, by the tokenizer's own chat template."""
    lines = ["turns = [{'role': 'user', 'content': prompt}]"]
    if how.principles != "none":
        rule = _joined(template.principle, {"principle": "each"})
        lines += [f"rules = ''.join({rule} for each in principles)", "if rules:"]
        if how.principles == "user":
            lines += [f"    turns[0]['content'] += '\\n\\n' + {how.heading!r} + rules"]
        else:
            lines += [f"    turns.insert(0, {{'role': 'system', 'content': {how.heading!r} + rules}})"]
    lines += ["turns.append({'role': 'assistant', 'content': completion})"]
    return lines + _chat("turns", chat_template, add_generation_prompt=False)


def _chat(turns: str, chat_template: str | None, *, add_generation_prompt: bool) -> list[str]:
    options = f"tokenize=False, add_generation_prompt={add_generation_prompt}"
    if chat_template is None:
        return [f"text = tokenizer.apply_chat_template({turns}, {options})"]
    return [
        f"chat = tokenizer.chat_template or {chat_template!r}",
        f"text = tokenizer.apply_chat_template({turns}, {options}, chat_template=chat)",
    ]


def _pieces(pattern: str, names: Mapping[str, str]) -> Iterable[str]:
    """Expressions of a template's pieces and slots, in order."""
    for index, piece in enumerate(SLOT.split(pattern)):
        if index % 2:
            yield names[piece]
        else:
            yield from _literals(piece)


def _literals(text: str) -> list[str]:
    """A text's lines, each as a literal."""
    return [repr(line) for line in text.splitlines(keepends=True)]


def _sum(parts: Iterable[str]) -> Sequence[str]:
    return [("+ " if index else "") + part for index, part in enumerate(parts)]


def _joined(pattern: str, names: Mapping[str, str]) -> str:
    return " + ".join(_pieces(pattern, names))
