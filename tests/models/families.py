"""The table of families: for each row, a small random network of `transformers`, which is the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

__all__ = ["FAMILIES", "Oracle", "Row", "oracle"]


class Row(NamedTuple):
    """A network.

    Attributes:
        model: The name of `transformers`' class.
        config: The arguments of its config, small.
        inputs: For each argument of our `forward`, the name of theirs, and its values.
        outputs: The names of its outputs that are compared. If there is one, ours is that array; if not, ours is a
            dict that has these names.
        decoder: Whether it has caches.
    """

    model: str
    config: dict[str, Any]
    inputs: Mapping[str, tuple[str, np.ndarray]]
    outputs: tuple[str, ...] = ("logits",)
    decoder: bool = False


_RANDOM = np.random.default_rng(7)
IDS = _RANDOM.integers(1, 60, (3, 9)).astype(np.int32)
MASK = np.arange(9)[None, :] >= np.array([[0], [2], [5]])
"""The rows of a batch, filled up on the left."""

_TOKENS = {"ids": ("input_ids", IDS)}
_LEFT = {**_TOKENS, "mask": ("attention_mask", MASK)}

_GPT2 = {"vocab_size": 60, "n_positions": 16, "n_embd": 24, "n_layer": 2, "n_head": 3, "bos_token_id": 1}
_GPT2 |= {"eos_token_id": 2}

FAMILIES: dict[str, Row] = {
    "gpt2": Row("GPT2LMHeadModel", _GPT2, _LEFT, decoder=True),
    "gpt2-base": Row("GPT2Model", _GPT2 | {"n_inner": 40}, _TOKENS, ("last_hidden_state",)),
    "gpt2-untied": Row(
        "GPT2LMHeadModel",
        _GPT2 | {"tie_word_embeddings": False, "activation_function": "relu", "scale_attn_by_inverse_layer_idx": True},
        _TOKENS,
        decoder=True,
    ),
}


class Oracle(NamedTuple):
    """A folder that `transformers` wrote, and its outputs for the inputs of the row, as NumPy's arrays."""

    folder: str
    outputs: dict[str, np.ndarray]


def oracle(name: str, folder: Any, dtype: str = "float32", **saving: Any) -> Oracle:
    """The network of a row with random parameters, saved in a new folder."""
    import torch
    import transformers

    row = FAMILIES[name]
    generator = torch.Generator().manual_seed(len(name))
    cls = getattr(transformers, row.model)
    model = cls(cls.config_class(**row.config)).eval()
    with torch.no_grad():
        for p in model.parameters():
            # Also the parameters that begin as zeros and ones: a key map could take one for another.
            p += 0.2 * torch.randn(p.shape, generator=generator)
        model = model.to(getattr(torch, dtype))
        model.save_pretrained(folder, **saving)
        given = {theirs: torch.from_numpy(x) for theirs, x in row.inputs.values()}
        given = {n: x.long() if x.dtype in (torch.int32, torch.bool) else x for n, x in given.items()}
        if row.decoder and "attention_mask" in given:  # as its `generate` does
            given["position_ids"] = (given["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        out = model.float()(**given)
    return Oracle(str(folder), {n: out[n].numpy() for n in row.outputs})
