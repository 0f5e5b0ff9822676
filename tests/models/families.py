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

_ENCODER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
_BERT = _ENCODER | {"vocab_size": 60, "max_position_embeddings": 20}
_DISTILBERT = {"vocab_size": 60, "max_position_embeddings": 20, "dim": 16, "n_layers": 2, "n_heads": 2}
_DISTILBERT |= {"hidden_dim": 24}
_ENDS = MASK[:, ::-1].copy()
"""The rows of a batch, filled up on the right."""
_TEXT = {"ids": ("input_ids", IDS * _ENDS + (1 - _ENDS)), "mask": ("attention_mask", _ENDS)}
_TYPED = _TEXT | {"token_type_ids": ("token_type_ids", IDS % 2)}
_IMAGES = {"images": ("pixel_values", _RANDOM.normal(size=(3, 8, 12, 3)).astype(np.float32))}
_SQUARES = {"images": ("pixel_values", _RANDOM.normal(size=(2, 8, 8, 3)).astype(np.float32))}
_POOLED = ("last_hidden_state", "pooler_output")
_VIT = _ENCODER | {"image_size": [8, 12], "patch_size": 4}
_CLIP_TEXT = _ENCODER | {"vocab_size": 60, "max_position_embeddings": 20, "projection_dim": 12, "eos_token_id": 7}
_CLIP_VISION = _ENCODER | {"image_size": 8, "patch_size": 4, "projection_dim": 12}
_CAPTIONS = {"ids": ("input_ids", np.where(np.arange(9) == [[3], [8], [5]], 7, np.where(IDS == 7, 8, IDS)))}
_CAPTIONS |= {"mask": ("attention_mask", np.arange(9) <= [[3], [8], [5]])}
_COMPARED = ("logits_per_image", "logits_per_text", "text_embeds", "image_embeds")
_LLAMA = {
    "vocab_size": 60,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
_LLAMA |= {"num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_YARN = {"factor": 4.0, "original_max_position_embeddings": 8}
_ROPES: dict[str, dict[str, Any]] = {
    "linear": {"rope_theta": 500.0, "factor": 2.0},
    "llama3": {"rope_theta": 500.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, **_YARN},
    "yarn": {"rope_theta": 500.0, **_YARN},
}
_ALL, _NEAR = "full_attention", "sliding_attention"
_SOURCE = {"inputs": ("input_ids", IDS[:, ::-1].copy()), "mask": ("attention_mask", _ENDS)}
_SEQ2SEQ = {**_SOURCE, "ids": ("decoder_input_ids", IDS[:, :7])}
_T5 = {"vocab_size": 60, "d_model": 16, "d_kv": 6, "d_ff": 24, "num_layers": 2, "num_heads": 3}
_T5 |= {"relative_attention_num_buckets": 6, "relative_attention_max_distance": 8, "decoder_start_token_id": 0}
_GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "num_decoder_layers": 3}
_WHISPER = {"vocab_size": 60, "num_mel_bins": 5, "d_model": 16, "max_source_positions": 8, "max_target_positions": 12}
_WHISPER |= {
    f"{who}_{what}": n for who in ("encoder", "decoder") for what, n in (("layers", 2), ("attention_heads", 2))
}
_WHISPER |= {"encoder_ffn_dim": 24, "decoder_ffn_dim": 20, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_WHISPER |= {"decoder_start_token_id": 1, "begin_suppress_tokens": [3]}
_BART = {n: v for n, v in _WHISPER.items() if "mel" not in n and "tokens" not in n and "positions" not in n}
_BART |= {"max_position_embeddings": 12}
_SPEECH = {"inputs": ("input_features", _RANDOM.normal(size=(3, 5, 16)).astype(np.float32))}
_SPEECH |= {"ids": ("decoder_input_ids", IDS[:, :7])}

FAMILIES: dict[str, Row] = {
    "bert": Row("BertModel", _BERT, _TYPED, _POOLED),
    "bert-masked_lm": Row("BertForMaskedLM", _BERT | {"hidden_act": "gelu_new"}, _TYPED),
    "bert-sequence": Row("BertForSequenceClassification", _BERT | {"num_labels": 3}, _TYPED),
    "bert-tokens": Row("BertForTokenClassification", _BERT | {"num_labels": 5}, _TYPED),
    "bert-questions": Row("BertForQuestionAnswering", _BERT, _TYPED, ("start_logits", "end_logits")),
    "distilbert": Row("DistilBertModel", _DISTILBERT, _TEXT, ("last_hidden_state",)),
    "distilbert-masked_lm": Row("DistilBertForMaskedLM", _DISTILBERT, _TEXT),
    "distilbert-sequence": Row("DistilBertForSequenceClassification", _DISTILBERT | {"num_labels": 3}, _TEXT),
    "distilbert-questions": Row("DistilBertForQuestionAnswering", _DISTILBERT, _TEXT, ("start_logits", "end_logits")),
    "mpnet": Row("MPNetModel", _BERT, _TEXT, _POOLED),
    "mpnet-masked_lm": Row("MPNetForMaskedLM", _BERT, _TEXT),
    "mpnet-sequence": Row("MPNetForSequenceClassification", _BERT | {"num_labels": 3}, _TEXT),
    "roberta": Row("RobertaModel", _BERT, _TEXT, _POOLED),
    "roberta-masked_lm": Row("RobertaForMaskedLM", _BERT | {"hidden_act": "relu"}, _TEXT),
    "roberta-sequence": Row("RobertaForSequenceClassification", _BERT | {"num_labels": 3, "pad_token_id": 0}, _TEXT),
    "roberta-tokens": Row("RobertaForTokenClassification", _BERT, _TEXT),
    "xlm-roberta": Row("XLMRobertaForQuestionAnswering", _BERT, _TEXT, ("start_logits", "end_logits")),
    "vit": Row("ViTModel", _VIT | {"pooler_output_size": 10, "pooler_act": "relu"}, _IMAGES, _POOLED),
    "vit-classes": Row("ViTForImageClassification", _VIT | {"qkv_bias": False, "num_labels": 4}, _IMAGES),
    "deit": Row("DeiTModel", _VIT, _IMAGES, _POOLED),
    "deit-classes": Row("DeiTForImageClassification", _VIT, _IMAGES),
    "deit-teacher": Row(
        "DeiTForImageClassificationWithTeacher", _VIT, _IMAGES, ("logits", "cls_logits", "distillation_logits")
    ),
    "clip": Row(
        "CLIPModel",
        {"text_config": _CLIP_TEXT, "vision_config": _CLIP_VISION | {"hidden_size": 24}, "projection_dim": 10},
        {**_CAPTIONS, **_SQUARES},
        _COMPARED,
    ),
    "clip-text": Row("CLIPTextModel", _CLIP_TEXT | {"eos_token_id": 2}, _CAPTIONS, _POOLED),
    "clip-text-projected": Row(
        "CLIPTextModelWithProjection", _CLIP_TEXT, _CAPTIONS, ("text_embeds", "last_hidden_state")
    ),
    "clip-vision": Row("CLIPVisionModel", _CLIP_VISION, _SQUARES, _POOLED),
    "clip-vision-projected": Row(
        "CLIPVisionModelWithProjection", _CLIP_VISION, _SQUARES, ("image_embeds", "last_hidden_state")
    ),
    "gpt2": Row("GPT2LMHeadModel", _GPT2, _LEFT, decoder=True),
    "gpt2-base": Row("GPT2Model", _GPT2 | {"n_inner": 40}, _TOKENS, ("last_hidden_state",)),
    "bart": Row("BartForConditionalGeneration", _BART, _SEQ2SEQ),
    "marian": Row("MarianMTModel", _BART | {"scale_embedding": True, "activation_function": "swish"}, _SEQ2SEQ),
    "mbart": Row("MBartForConditionalGeneration", _BART | {"scale_embedding": True}, _SEQ2SEQ),
    "pegasus": Row("PegasusForConditionalGeneration", _BART | {"activation_function": "relu"}, _SEQ2SEQ),
    "t5": Row("T5ForConditionalGeneration", _T5, _SEQ2SEQ),
    "bart-base": Row("BartModel", _BART, _SEQ2SEQ, ("last_hidden_state",)),
    "marian-base": Row("MarianModel", _BART, _SEQ2SEQ, ("last_hidden_state",)),
    "t5-base": Row("T5Model", _T5, _SEQ2SEQ, ("last_hidden_state",)),
    "whisper-base": Row("WhisperModel", _WHISPER, _SPEECH, ("last_hidden_state",)),
    "t5-1.1": Row("T5ForConditionalGeneration", _T5 | _GATED, _SEQ2SEQ),
    "t5-encoder": Row("T5EncoderModel", _T5, _TEXT, ("last_hidden_state",)),
    "whisper": Row("WhisperForConditionalGeneration", _WHISPER, _SPEECH),
    "gpt2-untied": Row(
        "GPT2LMHeadModel",
        _GPT2 | {"tie_word_embeddings": False, "activation_function": "relu", "scale_attn_by_inverse_layer_idx": True},
        _TOKENS,
        decoder=True,
    ),
    "llama": Row("LlamaForCausalLM", _LLAMA | {"attention_bias": True, "mlp_bias": True}, _LEFT, decoder=True),
    "llama-tied": Row("LlamaForCausalLM", _LLAMA | {"tie_word_embeddings": True, "head_dim": 8}, _LEFT, decoder=True),
    **{
        f"llama-{kind}": Row(
            "LlamaForCausalLM", _LLAMA | {"rope_parameters": {"rope_type": kind} | given}, _LEFT, decoder=True
        )
        for kind, given in _ROPES.items()
    },
    "llama-base": Row("LlamaModel", _LLAMA, _TOKENS, ("last_hidden_state",)),
    "mistral": Row("MistralForCausalLM", _LLAMA | {"sliding_window": 4}, _LEFT, decoder=True),
    "qwen2": Row(
        "Qwen2ForCausalLM",
        _LLAMA | {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1},
        _LEFT,
        decoder=True,
    ),
    "granite": Row(
        "GraniteForCausalLM",
        _LLAMA
        | {"embedding_multiplier": 3.0, "attention_multiplier": 0.3, "residual_multiplier": 0.7, "logits_scaling": 1.5},
        _LEFT,
        decoder=True,
    ),
    "smollm3": Row("SmolLM3ForCausalLM", _LLAMA | {"no_rope_layer_interval": 2}, _LEFT, decoder=True),
    "llama-dynamic": Row(
        "LlamaForCausalLM",
        _LLAMA
        | {
            "max_position_embeddings": 6,
            "rope_parameters": {"rope_type": "dynamic", "rope_theta": 500.0, "factor": 2.0},
        },
        _TOKENS,
    ),
    "qwen3": Row("Qwen3ForCausalLM", _LLAMA | {"head_dim": 8}, _LEFT, decoder=True),
    "gemma": Row("GemmaForCausalLM", _LLAMA | {"head_dim": 8}, _LEFT, decoder=True),
    "gemma2": Row(
        "Gemma2ForCausalLM",
        _LLAMA | {"head_dim": 8, "query_pre_attn_scalar": 16, "sliding_window": 4, "attn_logit_softcapping": 2.0},
        _LEFT,
        decoder=True,
    ),
    "gemma3": Row(
        "Gemma3ForCausalLM",
        _LLAMA | {"head_dim": 8, "query_pre_attn_scalar": 16, "sliding_window": 4, "layer_types": [_NEAR, _ALL]},
        _LEFT,
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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(len(name))  # its draws; the generator is for those below
        model = cls(cls.config_class(**row.config)).eval()
    with torch.no_grad():
        biases = [b for n, b in model.named_buffers() if n == "final_logits_bias"]
        # Parameters that do not train are sines, which some files lack.
        for p in (*(p for p in model.parameters() if p.requires_grad), *biases):
            # Also the parameters that begin as zeros and ones: a key map could take one for another.
            p += 0.2 * torch.randn(p.shape, generator=generator)
        model = model.to(getattr(torch, dtype))
        model.save_pretrained(folder, **saving)
        given = {theirs: torch.from_numpy(x) for theirs, x in row.inputs.values()}
        given = {n: x.permute(0, 3, 1, 2) if n == "pixel_values" else x for n, x in given.items()}
        given = {n: x.long() if x.dtype in (torch.int32, torch.bool) else x for n, x in given.items()}
        if row.decoder and "attention_mask" in given:  # as its `generate` does
            given["position_ids"] = (given["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        out = model.float()(**given)
    return Oracle(str(folder), {n: out[n].numpy() for n in row.outputs})
