"""`kf.generate` beside loops written by hand in PyTorch and JAX, and beside `transformers`' `generate`.

    python benchmarks/generate.py [--network llama-4 gpt2-6 ...] [--batch 1 4] [--tokens 128] [--rounds 7]

All sides have the same random weights, and must make the same tokens. Then they take turns. It prints medians of the
processor time, and of its ratio to PyTorch's loop in the same round. That loop has a cache of a fixed length, the
weights in the form that PyTorch likes best, and looks only at the full part of the cache. JAX's side is one jitted step
in a Python loop, with a cache that is donated.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import argparse  # noqa: E402
import functools  # noqa: E402
import statistics  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
import transformers  # noqa: E402

import kfunc as kf  # noqa: E402

SIZES = {"4": (4, 128), "6": (6, 256)}
HEADS, VOCABULARY, PROMPT = 4, 1000, 16


def model(name):
    """The network of transformers, such as "llama-4" with 4 layers."""
    kind, size = name.split("-")
    layers, d = SIZES[size]
    torch.manual_seed(0)
    common = {"vocab_size": VOCABULARY, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    if kind == "gpt2":
        config = transformers.GPT2Config(n_embd=d, n_layer=layers, n_head=HEADS, n_positions=512, **common)
        return transformers.GPT2LMHeadModel(config).eval()
    config = transformers.LlamaConfig(
        hidden_size=d,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS // 2,
        intermediate_size=3 * d,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        **common,
    )
    return transformers.LlamaForCausalLM(config).eval()


def blocks(theirs):
    """The weights of each layer as PyTorch likes them, (outputs, inputs)."""
    found = dict(theirs.named_parameters())
    for i in range(theirs.config.num_hidden_layers):
        if theirs.config.model_type == "gpt2":
            a = f"transformer.h.{i}"
            names = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
            linear = [x for n in names for x in (found[f"{a}.{n}.weight"].T.contiguous(), found[f"{a}.{n}.bias"])]
            yield *linear, *(found[f"{a}.ln_{n}.{p}"] for n in (1, 2) for p in ("weight", "bias"))
        else:
            a = f"model.layers.{i}"
            names = [f"self_attn.{n}_proj" for n in "qkvo"] + [f"mlp.{n}_proj" for n in ("gate", "up", "down")]
            names += ["input_layernorm", "post_attention_layernorm"]
            yield tuple(found[f"{a}.{n}.weight"] for n in names)


def _turned(x, cos, sin, cat):
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    return cat([a * cos - b * sin, b * cos + a * sin], -1)


def by_hand_in_torch(theirs, ids, n):
    gpt2 = theirs.config.model_type == "gpt2"
    found = dict(theirs.named_parameters())
    table = found["transformer.wte.weight" if gpt2 else "model.embed_tokens.weight"]
    (batch, time_), d = ids.shape, table.shape[1]
    width, groups, layers = d // HEADS, HEADS if gpt2 else HEADS // 2, list(blocks(theirs))
    length = time_ + n
    keys, values = ([torch.zeros(batch, groups, length, width) for _ in layers] for _ in range(2))
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(width // 2) * 2 / width)
    cos, sin = angles.cos(), angles.sin()
    if gpt2:
        end, shift, places = (found[f"transformer.{k}"] for k in ("ln_f.weight", "ln_f.bias", "wpe.weight"))
    else:
        end, eps = found["model.norm.weight"], theirs.config.rms_norm_eps

    def attended(q, k, v, i, at):
        t = q.shape[1]
        q, k, v = (x.view(batch, t, -1, width).transpose(1, 2) for x in (q, k, v))
        if not gpt2:
            q, k = (_turned(x, cos[at : at + t], sin[at : at + t], torch.cat) for x in (q, k))
        keys[i][:, :, at : at + t], values[i][:, :, at : at + t] = k, v
        k, v = keys[i][:, :, : at + t], values[i][:, :, : at + t]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=t > 1, enable_gqa=groups < HEADS)
        return y.transpose(1, 2).reshape(batch, t, d)

    x, at, out = ids, 0, []
    for _ in range(n):
        t = x.shape[1]
        h = F.embedding(x, table)
        if gpt2:
            h = h + places[at : at + t]
        for i, w in enumerate(layers):
            if gpt2:
                wa, ba, wo, bo, wu, bu, wd, bd, g1, b1, g2, b2 = w
                q, k, v = F.linear(F.layer_norm(h, (d,), g1, b1), wa, ba).split(d, -1)
                h = h + F.linear(attended(q, k, v, i, at), wo, bo)
                h = h + F.linear(F.gelu(F.linear(F.layer_norm(h, (d,), g2, b2), wu, bu), approximate="tanh"), wd, bd)
            else:
                q, k, v, o, gate, up, down, n1, n2 = w
                y = F.rms_norm(h, (d,), n1, eps)
                h = h + F.linear(attended(F.linear(y, q), F.linear(y, k), F.linear(y, v), i, at), o)
                y = F.rms_norm(h, (d,), n2, eps)
                h = h + F.linear(F.silu(F.linear(y, gate)) * F.linear(y, up), down)
        h = h[:, -1:]
        h = F.layer_norm(h, (d,), end, shift) if gpt2 else F.rms_norm(h, (d,), end, eps)
        x = F.linear(h, table).argmax(-1)
        out.append(x)
        at += t
    return torch.cat(out, 1)


def by_hand_in_jax(theirs, ids, n):
    """A function without arguments that makes the tokens by a jitted step."""
    gpt2 = theirs.config.model_type == "gpt2"
    found = {k: jnp.asarray(v.detach().numpy()) for k, v in theirs.named_parameters()}
    table = found["transformer.wte.weight" if gpt2 else "model.embed_tokens.weight"]
    layers = jax.tree.map(lambda x: jnp.asarray(x.detach().numpy()), list(blocks(theirs)))
    (batch, time_), d = ids.shape, table.shape[1]
    width, groups, length = d // HEADS, HEADS if gpt2 else HEADS // 2, time_ + n
    rates = 10000.0 ** (-jnp.arange(width // 2) * 2 / width)
    more = [found[f"transformer.{k}"] for k in ("ln_f.weight", "ln_f.bias", "wpe.weight")] if gpt2 else []
    more = more or [found["model.norm.weight"]]

    def norm(x, g, b=None):
        if b is None:
            return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + theirs.config.rms_norm_eps) * g
        x = x - x.mean(-1, keepdims=True)
        return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * g + b

    @functools.partial(jax.jit, donate_argnums=(4,))
    def step(layers, table, more, x, caches, at):
        t = x.shape[1]
        h, new = table[x], []
        place = at + jnp.arange(t)
        h = h + more[2][place] if gpt2 else h
        cos, sin = jnp.cos(place[:, None, None] * rates), jnp.sin(place[:, None, None] * rates)
        seen = place[:, None] >= jnp.arange(length)
        for w, (keys, values) in zip(layers, caches, strict=True):
            y = norm(h, *w[8:10]) if gpt2 else norm(h, w[7])
            q, k, v = jnp.split(y @ w[0].T + w[1], 3, -1) if gpt2 else (y @ m.T for m in w[:3])
            q, k, v = (a.reshape(batch, t, -1, width) for a in (q, k, v))
            if not gpt2:
                q, k = (_turned(a, cos, sin, jnp.concatenate) for a in (q, k))
            keys = jax.lax.dynamic_update_slice(keys, k, (0, at, 0, 0))
            values = jax.lax.dynamic_update_slice(values, v, (0, at, 0, 0))
            new.append((keys, values))
            q = q.reshape(batch, t, groups, -1, width)
            scores = jnp.einsum("btgsd,blgd->bgstl", q, keys) * width**-0.5
            scores = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), -1)
            y = jnp.einsum("bgstl,blgd->btgsd", scores, values).reshape(batch, t, d)
            if gpt2:
                h = h + y @ w[2].T + w[3]
                h = h + jax.nn.gelu(norm(h, *w[10:]) @ w[4].T + w[5]) @ w[6].T + w[7]
            else:
                h = h + y @ w[3].T
                y = norm(h, w[8])
                h = h + (jax.nn.silu(y @ w[4].T) * (y @ w[5].T)) @ w[6].T
        h = norm(h[:, -1:], *more[:2])
        return jnp.argmax(h @ table.T, -1).astype(jnp.int32), new

    def run():
        caches = [tuple(jnp.zeros((batch, length, groups, width)) for _ in range(2)) for _ in layers]
        x, at, out = jnp.asarray(ids, jnp.int32), 0, []
        for _ in range(n):
            x, caches = step(layers, table, more, x, caches, at)
            at += time_ if not out else 1
            out.append(x)
        return np.concatenate(out, 1)

    return run


def compare(name, batch, n, rounds):
    theirs = model(name)
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        net, params, _ = kf.models.load(folder)
    ids = np.random.default_rng(0).integers(0, VOCABULARY, (batch, PROMPT))
    tensors = torch.from_numpy(ids)

    def of_transformers():
        out = theirs.generate(tensors, attention_mask=torch.ones_like(tensors), max_new_tokens=n, do_sample=False)
        return out[:, PROMPT:].numpy()

    def ours(backend):
        weights = kf.to_backend(params, backend)
        return lambda: kf.to_numpy(kf.generate(net, weights, ids, n))

    sides = {
        "loop": lambda: by_hand_in_torch(theirs, tensors, n).numpy(),
        "transformers": of_transformers,
        "kfunc torch": ours("torch"),
        "kfunc numpy": ours("numpy"),
        "jax by hand": by_hand_in_jax(theirs, ids, n),
        "kfunc jax": ours("jax"),
    }
    with torch.no_grad():
        tokens = {side: run() for side, run in sides.items()}
        for side, made in tokens.items():
            same = float(np.mean(made == tokens["loop"]))
            assert same > 0.9, f"{side} makes other tokens: {same:.2f} are equal"  # near ties may differ
            sides[side]()
        times = {side: [] for side in sides}
        for _ in range(rounds):
            for side, run in sides.items():
                start = time.process_time()
                run()
                times[side].append(time.process_time() - start)
    for side, taken in times.items():
        ratio = statistics.median(a / b for a, b in zip(taken, times["loop"], strict=True))
        print(f"{name:8} batch {batch}  {side:13} {statistics.median(taken) * 1e3:8.1f} ms  {ratio:5.2f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", default=["llama-4", "llama-6", "gpt2-4", "gpt2-6"])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    for name in given.network:
        for batch in given.batch:
            compare(name, batch, given.tokens, given.rounds)
