"""Encoders: configs, folders of older versions, bad input, half precision, a network that is tuned and goes back."""

from __future__ import annotations

import filecmp
import importlib
import json
import operator
import pathlib
import sys

import numpy as np
import pytest
import sampling
from backends import params
from families import FAMILIES, oracle

import kfunc as kf
from kfunc.dataclasses import fields
from kfunc.errors import ArgumentError, FileError, KfuncError, ShapeError
from kfunc.models.family import Config
from kfunc.models.folders import MODEL_TYPES

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "examples"))
import finetune

IDS = np.asarray([[5, 6, 7, 1], [8, 1, 1, 1], [9, 4, 3, 2]], "int32")
SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
TEXT = SMALL | {"vocab_size": 12, "max_position_embeddings": 6}
IMAGE = SMALL | {"image_size": 8, "patch_size": 4}


def inputs(name):
    return {ours: x for ours, (_, x) in FAMILIES[name].inputs.items()}


# -- folders of older versions -----------------------------------------------------------------------------------------


def old_bert(tensors):
    """As the first files of BERT: TensorFlow's names of norms, all heads of the pretraining, a copy of a table."""
    names = {name: name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta") for name in tensors}
    found = {names[name]: x for name, x in tensors.items()}
    found["cls.seq_relationship.weight"] = np.ones((2, 16), "float32")
    found["cls.seq_relationship.bias"] = np.ones(2, "float32")
    found["bert.pooler.dense.weight"] = np.ones((16, 16), "float32")
    found["bert.pooler.dense.bias"] = np.ones(16, "float32")
    found["bert.embeddings.position_ids"] = np.arange(20, dtype="int64")[None]
    found["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    return found


def prefixed(tensors):
    """As before transformers 5: with the name of the base model."""
    return {f"text_model.{name}": x for name, x in tensors.items()}


def pretrained(tensors):
    """The encoder of a file that has a head, too."""
    found = {f"bert.{name}": x for name, x in tensors.items()}
    return {**found, "cls.predictions.bias": np.ones(60, "float32")}


@pytest.mark.parametrize(
    ("name", "change"), [("bert-masked_lm", old_bert), ("clip-text", prefixed), ("bert", pretrained)]
)
def test_folders_of_older_versions(name, change, tmp_path):
    pytest.importorskip("transformers")
    folder = oracle(name, tmp_path / "new").folder
    net, parameters, _ = kf.models.load(folder)
    want, _ = net.apply(parameters, **inputs(name))
    changed = change({n: np.asarray(x) for n, x in kf.interop.Checkpoint(folder).items()})
    kf.interop.save_checkpoint(changed, folder)
    net, parameters, _ = kf.models.load(folder)
    got, _ = net.apply(parameters, **inputs(name))
    assert all(map(np.array_equal, kf.tree.leaves(want), kf.tree.leaves(got)))
    kf.models.save(tmp_path / "again", net, parameters)
    again, parameters, _ = kf.models.load(tmp_path / "again")
    got, _ = again.apply(parameters, **inputs(name))
    assert all(map(np.array_equal, kf.tree.leaves(want), kf.tree.leaves(got)))


@pytest.mark.parametrize("name", ["BertModel", "ViTModel"])
def test_a_pooler_that_the_file_does_not_have(name, tmp_path):
    """No config says so."""
    transformers = pytest.importorskip("transformers")
    cls = getattr(transformers, name)
    cls(cls.config_class(**(TEXT if name == "BertModel" else IMAGE)), add_pooling_layer=False).save_pretrained(tmp_path)
    net, parameters, state = kf.models.load(tmp_path)
    x = IDS if name == "BertModel" else np.ones((2, 8, 8, 3), "float32")
    assert net.apply(parameters, x)[0].ndim == 3
    paths = kf.models.save(tmp_path / "again", net, parameters, state)
    assert all(filecmp.cmp(path, tmp_path / pathlib.Path(path).name, shallow=False) for path in paths)


# -- configs -----------------------------------------------------------------------------------------------------------

DERIVED = {("qwen2", "sliding_window"), ("qwen3", "sliding_window"), ("whisper", "suppress_tokens")}  # None there
TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")


@pytest.mark.parametrize("kind", MODEL_TYPES)
def test_a_value_that_a_config_leaves_out_has_the_default_of_transformers(kind):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoConfig.for_model(kind)
    module, _, name = MODEL_TYPES[kind].partition(".")
    cls = getattr(importlib.import_module(f"kfunc.models.{module}"), name)
    defaults = {f.name: f.default for f in fields(cls) if hasattr(theirs, f.name)}
    ours = {n: d for n, d in defaults.items() if d is not None and n not in TOKENS and (kind, n) not in DERIVED}
    assert len(ours) > 1
    assert {n: getattr(theirs, n) for n in ours} == ours


@pytest.mark.parametrize("kind", MODEL_TYPES)
def test_null_in_a_config_is_none_as_in_transformers(kind):
    """`"sliding_window": null` is no window, and not the default of 4096; unless None is no value of the field."""
    transformers = pytest.importorskip("transformers")
    module, _, name = MODEL_TYPES[kind].partition(".")
    cls = getattr(importlib.import_module(f"kfunc.models.{module}"), name)
    known = set(transformers.AutoConfig.for_model(kind).to_dict())
    defaults = {f.name: f.default for f in fields(cls) if "None" in str(f.type) and f.name in known}
    assert {n: Config({n: None}).fields(cls).get(n, d) for n, d in defaults.items()} == dict.fromkeys(defaults)
    # Some of their classes refuse null for these three, or derive a number from it.
    beside = ("num_key_value_heads", "head_dim", "decoder_start_token_id")
    for name, default in defaults.items():
        if default is not None and name not in beside:
            assert getattr(transformers.AutoConfig.for_model(kind, **{name: None}), name) is None


@pytest.mark.parametrize("name", ["sliding_window", "attn_logit_softcapping", "final_logit_softcapping"])
def test_a_field_that_is_none_is_none_again_in_a_folder(name, tmp_path):
    net = kf.models.Gemma2(**TEXT, num_key_value_heads=1, head_dim=4, **{name: None})
    parameters, state = net.init(0, *net.input_specs())
    kf.models.save(tmp_path, net, parameters, state)
    assert kf.models.load(tmp_path)[0].values() == net.values()


# Keys of transformers 4.16, which wrote all of them into each part.
WRITTEN = {
    **{"_name_or_path": "", "add_cross_attention": False, "architectures": None, "bad_words_ids": None},
    **{"chunk_size_feed_forward": 0, "cross_attention_hidden_size": None, "decoder_start_token_id": None},
    **{"diversity_penalty": 0.0, "do_sample": False, "early_stopping": False, "encoder_no_repeat_ngram_size": 0},
    **{"finetuning_task": None, "forced_bos_token_id": None, "forced_eos_token_id": None, "is_decoder": False},
    **{"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "is_encoder_decoder": False, "label2id": {"LABEL_0": 0}},
    **{"length_penalty": 1.0, "max_length": 20, "min_length": 0, "no_repeat_ngram_size": 0, "num_beam_groups": 1},
    **{"num_beams": 1, "num_return_sequences": 1, "output_attentions": False, "output_hidden_states": False},
    **{
        "output_scores": False,
        "prefix": None,
        "problem_type": None,
        "pruned_heads": {},
        "remove_invalid_values": False,
    },
    **{"repetition_penalty": 1.0, "return_dict": True, "return_dict_in_generate": False, "sep_token_id": None},
    **{"task_specific_params": None, "temperature": 1.0, "tie_encoder_decoder": False, "tie_word_embeddings": True},
    **{"tokenizer_class": None, "top_k": 50, "top_p": 1.0, "torch_dtype": None, "torchscript": False, "typical_p": 1.0},
    **{"transformers_version": "4.16.0.dev0", "use_bfloat16": False, "dropout": 0.0, "gradient_checkpointing": False},
}
PUBLISHED = {
    "bert-base-multilingual-cased": (
        {
            **{
                "model_type": "bert",
                "architectures": ["BertForMaskedLM"],
                "directionality": "bidi",
                "pooler_fc_size": 768,
            },
            **{"pooler_num_attention_heads": 12, "pooler_num_fc_layers": 3, "pooler_size_per_head": 128},
            **{"pooler_type": "first_token_transform", "vocab_size": 119547, "position_embedding_type": "absolute"},
        },
        {"vocab_size": 119547, "head": "masked_lm"},
    ),
    "ms-marco-MiniLM-L6-v2": (
        {
            **{"model_type": "bert", "architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}},
            **{"label2id": {"LABEL_0": 0}, "hidden_size": 384, "use_cache": True, "gradient_checkpointing": False},
            **{"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity", "version": "4.1.0"}},
        },
        {"num_labels": 1, "hidden_size": 384},
    ),
    "xlm-roberta-base": (
        {
            **{"model_type": "xlm-roberta", "architectures": ["XLMRobertaForMaskedLM"], "output_past": True},
            **{"max_position_embeddings": 514, "type_vocab_size": 1, "vocab_size": 250002, "layer_norm_eps": 1e-05},
        },
        {"pad_token_id": 1, "type_vocab_size": 1},
    ),
    "clip-vit-base-patch32": (
        {
            **{"model_type": "clip", "architectures": ["CLIPModel"], "initializer_factor": 1.0, "projection_dim": 512},
            **{"logit_scale_init_value": 2.6592, "text_config_dict": None, "vision_config_dict": None},
            "text_config": {**WRITTEN, "model_type": "clip_text_model", "bos_token_id": 0, "eos_token_id": 2},
            "vision_config": {**WRITTEN, "model_type": "clip_vision_model", "patch_size": 16},
        },
        {"text.eos_token_id": 2, "vision.patch_size": 16},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_configs_of_published_folders(name):
    values, wanted = PUBLISHED[name]
    config = kf.models.Config(values)
    cls = getattr(kf.models, {"bert": "Bert", "xlm-roberta": "XLMRoberta", "clip": "CLIP"}[values["model_type"]])
    net = importlib.import_module(cls.__module__).from_config(config)
    assert type(net) is cls
    assert config.unread() == []
    assert {path: operator.attrgetter(path)(net) for path in wanted} == wanted


# -- what is refused ---------------------------------------------------------------------------------------------------

BAD_CONFIGS = {
    "a decoder": ("bert", {"is_decoder": True}, "is_decoder"),
    "relative positions": ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
    "an activation": ("bert", {"hidden_act": "spiral"}, "`hidden_act` must be"),
    "heads": ("bert", {"num_attention_heads": 3}, "`hidden_size` must be a multiple of `num_attention_heads`"),
    "an architecture": ("bert", {"architectures": ["BertForNextSentencePrediction"]}, "architectures"),
    "own logits": ("bert", {"architectures": ["BertForMaskedLM"], "tie_word_embeddings": False}, "tie_word_embed"),
    "a text of another kind": ("clip", {"text_config": {"num_experts": 4}}, "text_config.num_experts"),
    "no end of a text": ("clip", {"text_config": {"eos_token_id": None}}, "`eos_token_id` must be an integer"),
    "no text": ("clip", {"text_config": 3}, "text_config"),
    "images of three sides": ("vit", {"image_size": [8, 8, 8]}, "image_size"),
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_bad_configs(name, tmp_path):
    kind, config, says = BAD_CONFIGS[name]
    small = {"bert": TEXT, "roberta": TEXT, "vit": IMAGE, "clip": {}}[kind]
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, **small, **config}))
    kf.interop.save_checkpoint({"x": np.ones(1, "float32")}, tmp_path / "model.safetensors")
    with pytest.raises((FileError, ArgumentError), match=says):
        kf.models.load(tmp_path)


CALLS = {
    "too many tokens": (lambda: kf.models.Bert(**TEXT), np.ones((1, 7), "int32"), "`ids` has 7 positions"),
    "after the padding": (lambda: kf.models.Roberta(**TEXT), np.ones((1, 5), "int32"), "`ids` has 5 positions"),
    "one text": (lambda: kf.models.Bert(**TEXT), np.ones(4, "int32"), "`ids`"),
    "a larger image": (lambda: kf.models.ViT(**IMAGE), np.ones((1, 12, 8, 3), "float32"), "`images` must be"),
    "channels first": (lambda: kf.models.ViT(**IMAGE), np.ones((1, 3, 8, 8), "float32"), "`images` must be"),
    "one image": (lambda: kf.models.DeiT(**IMAGE), np.ones((8, 8, 3), "float32"), "`images` must"),
    "nothing": (lambda: kf.models.CLIP(TEXT, IMAGE), None, "CLIP needs `ids`, `images`, or both"),
}


@pytest.mark.parametrize("name", CALLS)
def test_bad_inputs(name):
    make, x, says = CALLS[name]
    net = make()
    parameters, state = net.init(0, *net.input_specs())
    with pytest.raises((ShapeError, ArgumentError), match=says):
        net.apply(parameters, x, state=state)


@pytest.mark.parametrize("name", ["mask", "token_type_ids"])
@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4,), (3, 4, 1)])
def test_arrays_that_do_not_fit_the_tokens(name, shape):
    net = kf.models.Bert(**TEXT)
    parameters, _ = net.init(0, IDS)
    with pytest.raises(ShapeError, match=f"`{name}` must have the shape of `ids`"):
        net.apply(parameters, IDS, **{name: np.ones(shape, "int32")})


def test_bad_arguments():
    with pytest.raises(KfuncError, match="`head` must be"):
        kf.models.Bert(**TEXT, head="language")
    with pytest.raises(KfuncError, match="`head` must be"):
        kf.models.ViT(**IMAGE, head="with_teacher")


def test_one_encoder_of_clip_alone():
    net = kf.models.CLIP(TEXT, IMAGE, projection_dim=5)
    parameters, _ = net.init(0, *net.input_specs())
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    both, _ = net.apply(parameters, IDS, images)
    text, _ = net.apply(parameters, IDS)
    image, _ = net.apply(parameters, images=images)
    for alone, name in ((text, "text_embeds"), (image, "image_embeds")):
        np.testing.assert_allclose(alone / np.linalg.norm(alone, axis=1, keepdims=True), both[name], atol=1e-6)
    assert both["logits_per_image"].shape == (2, 3)


# -- other precisions, and training ------------------------------------------------------------------------------------


@pytest.mark.torch
@pytest.mark.parametrize("name", ["bert", "vit", "clip"])
def test_half_precision(name, tmp_path):
    """bfloat16 has 8 bits: each of some 12 layers rounds by 2 ** -8 of numbers that norms keep near 1."""
    pytest.importorskip("transformers")
    made = oracle(name, tmp_path)
    net, parameters, state = kf.models.load(made.folder, "torch", dtype="bfloat16")
    given = {key: kf.asarray(x, backend="torch") for key, x in inputs(name).items()}
    out, _ = net.apply(parameters, state=state, **given)
    for key, want in made.outputs.items():
        got = kf.to_numpy(out[key]).astype("float32")
        assert np.abs(got - want).max() <= 12 * 2**-8 * max(1, np.abs(want).max())


@pytest.fixture
def encoder(tmp_path):
    """A small folder of sentence-transformers, and sentences of random words."""
    net = kf.models.Bert(num_hidden_layers=5, **{k: v for k, v in TEXT.items() if k != "num_hidden_layers"})
    net = kf.models.SentenceEncoder(net, normalize=True)
    kf.models.save(tmp_path / "before", net, *net.init(0, IDS))
    random = np.random.default_rng(0)
    ids = random.integers(1, 12, (272, 6)).astype("int32")
    mask = (np.arange(6) < random.integers(1, 7, (272, 1))).astype("int32")
    return tmp_path / "before", (ids, mask), (ids[:, 0] % 4).astype("int32")


@pytest.mark.parametrize("backend", params(("torch",)))
def test_a_tuned_network_goes_back(backend, encoder, tmp_path):
    """Training is the same on two backends, frozen layers stay, and transformers computes the same with the folder."""
    folder, x, y = encoder
    net, parameters, state = finetune.classifier(folder)
    losses, models = {}, {}
    for name in ("numpy", backend):
        models[name] = kf.Model(net, params=parameters, state=state)
        losses[name] = finetune.train(models[name], x, y, name, 2)
    for key, values in losses["numpy"].items():
        # Some 30 steps of Adam: an update is relative to rounded gradients, so errors do not shrink with them.
        np.testing.assert_allclose(losses[backend][key], values, rtol=1e-3)
    model = models["numpy"]
    ts = model.train_state
    leaves = (kf.tree.leaves(tree) for tree in (parameters, ts.params))
    for path, before, after in zip(kf.tree.paths(parameters), *leaves, strict=True):
        frozen = path.split("/")[0] in (
            "words",
            "places",
            "types",
            "norm",
            "blocks_0",
            "blocks_1",
            "blocks_2",
            "blocks_3",
        )
        assert np.array_equal(before, after) == frozen, path
    wanted = model.predict(x)
    model.save(tmp_path / "tuned.kfunc")
    assert np.array_equal(kf.Model.load(tmp_path / "tuned.kfunc").predict(x), wanted)
    kf.models.save(tmp_path / "tuned", net, ts.params, ts.state)

    transformers = pytest.importorskip("transformers")
    import torch

    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "tuned").eval()
    assert type(theirs).__name__ == "BertForSequenceClassification"
    with torch.no_grad():
        ids, mask = (torch.from_numpy(part).long() for part in x)
        got = theirs(input_ids=ids, attention_mask=mask).logits.numpy()
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5)


if sampling.everything:  # some two minutes

    def test_tuning_the_real_network(tmp_path):
        """MiniLM learns who wrote what, with the same curve on all backends that train, and transformers opens it."""
        import embeddings
        import torch
        import transformers

        curves = {}
        for backend in ("numpy", "jax", "torch", "tensorflow"):
            curves[backend], model = finetune.main(backend, tmp_path / backend, epochs=1)
        assert curves["numpy"]["val_accuracy"][0] > 0.5  # of four authors
        for curve in curves.values():
            # The error of a sum of 384 terms, 6 blocks deep, after 15 steps of Adam.
            np.testing.assert_allclose(curve["loss"], curves["numpy"]["loss"], rtol=1e-3)
            np.testing.assert_allclose(curve["val_loss"], curves["numpy"]["val_loss"], rtol=1e-3)
        x = embeddings.tokens(finetune.sentences()[0][:20], 48)
        theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "tensorflow").eval()
        with torch.no_grad():
            ids, mask = (torch.from_numpy(part).long() for part in x)
            got = theirs(input_ids=ids, attention_mask=mask).logits.numpy()
        np.testing.assert_allclose(got, model.predict(x, backend="numpy"), rtol=0, atol=1e-4)


# -- fields ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("Mistral", "attention_bias", True),
        ("Mistral", "mlp_bias", True),
        ("Qwen2", "attention_bias", True),
        ("Qwen3", "mlp_bias", True),
        ("Gemma", "mlp_bias", True),
        ("Gemma2", "hidden_act", "relu"),
        ("Gemma3", "hidden_act", "relu"),
    ],
)
def test_fields_that_a_family_does_not_have(name, field, value):
    """By hand they are refused, since they had no effect; in a config they have none in transformers either."""
    cls = getattr(kf.models, name)
    with pytest.raises(ArgumentError, match=f"`{field}` has no effect in {name}, got {value!r}"):
        cls(**SMALL, num_key_value_heads=1, **{field: value})
    config = Config({"model_type": cls.model_type, **SMALL, "num_key_value_heads": 1, field: value})
    importlib.import_module(cls.__module__).from_config(config)
    assert config.unread() == []


def test_a_key_that_changes_training_alone_is_warned_of(recwarn):
    for value in (False, True):
        Config({"apply_spec_augment": value, "mask_time_prob": 0.05}).fields(kf.models.Whisper)
        assert len(recwarn) == int(value)
    assert "apply_spec_augment = True, which changes training alone" in str(recwarn[0].message)


# Fields that have no effect on what a network of the row computes, each for a reason.
BESIDE = {
    "trainable",
    "generation",
    "name",
    "max_position_embeddings",
    "rope_scaling",
    "rope_parameters",
    "head",
    "activity_regularizer",
    "source",
    "dtype",
}
VALUES = {"hidden_act": "relu", "hidden_activation": "relu", "layer_types": ["full_attention"] * 2}


@pytest.mark.parametrize("name", ["llama", "granite", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3"])
def test_each_field_has_an_effect_or_is_refused(name):
    row = FAMILIES[name]
    given = {**row.config, "architectures": [row.model], "use_sliding_window": True, "head_dim": 8}
    given |= {"model_type": "gemma3_text" if name == "gemma3" else name, "sliding_window": 4}
    net = importlib.import_module("kfunc.models.llama").from_config(Config(given))
    windows = {"max_window_layers": 1, "sliding_window_pattern": 2, "layer_types": None}
    net = kf.replace(net, **{n: value for n, value in windows.items() if hasattr(net, n)})

    def computed(net):
        parameters, _ = net.init(0, *net.input_specs())
        shapes = [tuple(x.shape) for x in kf.tree.leaves(parameters)]
        outs = [
            net.apply(parameters, **inputs(name), train=t, key=kf.random.key(0))[0].tobytes() for t in (False, True)
        ]
        return shapes, outs

    def other(field, value):
        if field.name in VALUES:
            return VALUES[field.name]
        if isinstance(value, bool):
            return not value
        return 0.5 if isinstance(value, float) or value is None else value + 1 if "layers" in field.name else 2 * value

    before, silent = computed(net), []
    for field in fields(type(net)):
        if field.name in BESIDE or field.name.endswith("token_id"):
            continue
        try:
            after = computed(kf.replace(net, **{field.name: other(field, getattr(net, field.name))}))
        except ArgumentError:
            continue
        silent += [field.name] if after == before else []
    assert silent == []
