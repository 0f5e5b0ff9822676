"""Reading checkpoints: kfunc by a key map, beside `from_pretrained` of transformers, on the same files.

On JAX and TensorFlow, for which transformers has no models any more, it stands beside what their users do: "moved" is
`from_pretrained`, and each tensor made an array; "safetensors" is `load_file` of `safetensors.flax` or
`safetensors.tensorflow`, which gives the tensors as the file has them, cast where another dtype is wanted.

A BERT with random weights (110 million, as bert-base) is written by `save_pretrained`, in float32 and bfloat16, as one
file and in shards. Each row is the best of several runs, each in a process of its own, in turns. Time is from the path
to the parameters, without imports: by the clock, and that of the processors, by which the best run is chosen since it
depends less on what else runs; "used" is with the largest number of each, since some are views of the file.
Memory is what the highest resident size is above that after the imports.

    pip install -e ".[torch]" transformers
    python benchmarks/checkpoints.py --backend torch
    python benchmarks/checkpoints.py --backend numpy --layers 2 --runs 1
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import kfunc as kf
from kfunc import nn
from kfunc.arrays import device, namespace
from kfunc.interop import Checkpoint, KeyMap

PARTS = ("query", "key", "value")


@nn.layer
class Block(nn.Layer):
    attention: nn.Layer
    norm1: nn.Layer
    inner: nn.Layer
    outer: nn.Layer
    norm2: nn.Layer

    def forward(self, s, x):
        x = self.norm1(s, x + self.attention(s, x, x))
        return self.norm2(s, x + self.outer(s, self.inner(s, x)))


@nn.layer
class Bert(nn.Layer):
    words: nn.Layer
    places: nn.Layer
    kinds: nn.Layer
    norm: nn.Layer
    blocks: tuple[nn.Layer, ...]
    pooler: nn.Layer

    def forward(self, s, ids, kinds):
        xp = namespace(ids)
        places = xp.arange(ids.shape[1], dtype=xp.int32, device=device(ids))
        x = self.norm(s, self.words(s, ids) + self.places(s, places) + self.kinds(s, kinds))
        for block in self.blocks:
            x = block(s, x)
        return self.pooler(s, x[:, 0, :])


def bert(c, dtype=None):
    """The network for a config of transformers, and the key map."""
    d, heads = c["hidden_size"], c["num_attention_heads"]

    def norm():
        return nn.LayerNormalization(epsilon=c["layer_norm_eps"])

    def block():
        attention = nn.MultiHeadAttention(heads, d // heads)
        return Block(attention, norm(), nn.Dense(c["intermediate_size"], c["hidden_act"]), nn.Dense(d), norm())

    tables = [nn.Embedding(c[f"{n}_size"], d) for n in ("vocab", "type_vocab")]
    tables.insert(1, nn.Embedding(c["max_position_embeddings"], d))
    blocks = tuple(block() for _ in range(c["num_hidden_layers"]))
    net = Bert(*tables, norm(), blocks, nn.Dense(d, "tanh"), dtype=dtype)
    theirs, ours = "encoder.layer.{i}", "blocks_{i}"
    dense = {
        f"{theirs}.intermediate.dense": f"{ours}/inner",
        f"{theirs}.output.dense": f"{ours}/outer",
        "pooler.dense": "pooler",
    }
    norms = {
        "embeddings.LayerNorm": "norm",
        f"{theirs}.attention.output.LayerNorm": f"{ours}/norm1",
        f"{theirs}.output.LayerNorm": f"{ours}/norm2",
    }
    rules = [
        ("embeddings.word_embeddings.weight", "words/embeddings"),
        ("embeddings.position_embeddings.weight", "places/embeddings"),
        ("embeddings.token_type_embeddings.weight", "kinds/embeddings"),
        *((f"{theirs}.attention.self.{n}.weight", f"{ours}/attention/{n}/kernel", "(h d) i -> i h d") for n in PARTS),
        *((f"{theirs}.attention.self.{n}.bias", f"{ours}/attention/{n}/bias", "(h d) -> h d") for n in PARTS),
        (f"{theirs}.attention.output.dense.weight", f"{ours}/attention/attention_output/kernel", "o (h d) -> h d o"),
        (f"{theirs}.attention.output.dense.bias", f"{ours}/attention/attention_output/bias"),
        *((f"{n}.weight", f"{m}/kernel", "o i -> i o") for n, m in dense.items()),
        *((f"{n}.bias", f"{m}/bias") for n, m in dense.items()),
        *((f"{n}.weight", f"{m}/gamma") for n, m in norms.items()),
        *((f"{n}.bias", f"{m}/beta") for n, m in norms.items()),
    ]
    return net, KeyMap(rules, ignore=[r".*position_ids"])


def load(who, folder, backend, dtype):
    """Load in this process; prints what it took."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    if who != "kfunc":
        from transformers import BertModel
    reader = None
    if who == "safetensors":
        import importlib

        reader = importlib.import_module(f"safetensors.{'flax' if backend == 'jax' else backend}").load_file
    if who != "transformers":
        kf.asarray(0.0, backend=backend)
    before = _resident()
    start, began = time.perf_counter(), time.process_time()
    if who == "transformers":
        model = BertModel.from_pretrained(folder, dtype=dtype)
        leaves = list(model.parameters())
    elif who == "moved":
        model = BertModel.from_pretrained(folder, dtype=dtype)
        leaves = [kf.asarray(x.detach(), backend=backend) for x in model.parameters()]
        leaves = [x.block_until_ready() if backend == "jax" else x for x in leaves]
    elif who == "safetensors":
        files = sorted(name for name in os.listdir(folder) if name.endswith(".safetensors"))
        leaves = [x for name in files for x in reader(os.path.join(folder, name)).values()]
        leaves = [_cast(x, dtype) for x in leaves]
    else:
        with open(os.path.join(folder, "config.json")) as file:
            net, keys = bert(json.load(file), dtype)
        ids = kf.Spec((None, 8), "int32")
        params, _ = keys.load(Checkpoint(folder, backend), net, ids, ids)
        leaves = kf.tree.leaves(params)
    took, busy = time.perf_counter() - start, time.process_time() - began
    for x in leaves:
        kf.to_numpy(kf.ops.max(x))
    used = time.perf_counter() - start
    size = sum(kf.files.size(x) for x in leaves) / 1e6
    print(json.dumps({"took": took, "busy": busy, "used": used, "memory": (_resident() - before) / 1e6, "model": size}))


def _cast(x, dtype):
    """A native array as its library's user casts it."""
    if str(x.dtype).endswith(dtype) or "'" + dtype + "'" in str(x.dtype):
        return x
    if hasattr(x, "astype"):
        return x.astype(dtype)
    import tensorflow as tf

    return tf.cast(x, dtype)


def _resident():
    """The highest resident size of this process so far, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--one", nargs=4, metavar=("WHO", "FOLDER", "BACKEND", "DTYPE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return load(*options.one)
    # transformers has no arrays of JAX or TensorFlow, so there the others are what its users do.
    peers = ("moved", "safetensors") if options.backend in ("jax", "tensorflow") else ("transformers",)
    whose = (*peers, "kfunc")
    with tempfile.TemporaryDirectory() as folder:
        _write(folder, options.layers)
        print(f"{'files':18}{'as':10}{'':14}{'s':>8}{'CPU s':>8}{'used s':>9}{'MB':>7}{'model MB':>10}")
        for stored, shards, wanted in (
            ("float32", "one", "float32"),
            ("float32", "shards", "float32"),
            ("bfloat16", "one", "bfloat16"),
            ("bfloat16", "shards", "bfloat16"),
            ("bfloat16", "one", "float32"),
        ):
            if wanted == "bfloat16" and options.backend == "numpy":
                continue  # NumPy alone does not compute in it
            at = os.path.join(folder, f"{stored}-{shards}")
            best: dict[str, dict] = {}
            for _ in range(options.runs):
                for who in whose:
                    command = [sys.executable, __file__, "--one", who, at, options.backend, wanted]
                    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                    found = json.loads(out.splitlines()[-1])
                    best[who] = min(found, best.get(who, found), key=lambda f: f["busy"])
            for who, f in best.items():
                numbers = f"{f['took']:8.3f}{f['busy']:8.3f}{f['used']:9.3f}{f['memory']:7.0f}{f['model']:10.0f}"
                print(f"{stored + ', ' + shards:18}{wanted:10}{who:14}{numbers}")
            print(f"{'':50}{best['kfunc']['busy'] / min(best[who]['busy'] for who in whose[:-1]):8.2f}")
    return None


def _write(folder, layers):
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    model = BertModel(BertConfig(num_hidden_layers=layers))
    for dtype in (torch.float32, torch.bfloat16):
        for name, size in (("one", "5GB"), ("shards", "80MB")):
            model.to(dtype).save_pretrained(f"{folder}/{str(dtype)[6:]}-{name}", max_shard_size=size)


if __name__ == "__main__":
    main()
