"""Generation: a network with caches makes tokens, one after another."""

from __future__ import annotations

import functools
import inspect
import math
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import checks, ops, random, transforms, tree
from .arrays import asarray, backend_of, device, dtype_name, namespace, native, to_numpy
from .backends import Backend, kind_of
from .errors import ArgumentError, IndexingError, ShapeError, shown
from .nn.call import as_layer
from .nn.layer import Layer
from .random.keys import check_key
from .tracing.spec import Spec
from .training.carry import Carry
from .typing import Array, Tree

__all__ = ["generate"]

_EVERY: int = 8  # tokens, after which the host looks whether all rows have ended
_LIMITS = ("max_target_positions", "max_position_embeddings", "n_positions")
"""Names of configs for how many positions a network has."""


class _Rules(NamedTuple):
    """All that decides which program runs; other options are arguments of the program."""

    draws: bool = False
    top_k: int | None = None
    sample: Callable[[Any, Any], Any] | None = None
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | str = False


class _Fixed(NamedTuple):
    """Arguments of the programs that stay the same for all tokens; None where they have no effect."""

    length: Any  # how many tokens to make: int32 ()
    pad: Any  # the token after the end: int32 ()
    stop: Any = None  # the tokens that end a row: int32 (n,)
    key: Any = None
    mask: Any = None  # (rows, length of the cache)
    temperature: Any = None
    top_p: Any = None
    min_p: Any = None
    repetition_penalty: Any = None
    suppressed: Any = None  # tokens that are never made: bool (vocabulary,)
    suppressed_first: Any = None  # tokens that are not made at first
    forced_first: Any = None  # the tokens of which one is made at first: int32 (n,)
    forced_last: Any = None  # those of which one is the last of `length`


class _Carry(NamedTuple):
    """What goes from one token to the next one. There is a row for each sample, or for each beam of each sample."""

    caches: Any
    count: Any  # how many tokens have been made: int32 ()
    last: Any  # the newest token: int32 (rows, 1)
    tokens: Any  # all of them: int32 (batch, room), or (batch, beams, room)
    positions: Any = None  # of the newest token: int32 (rows, 1)
    seen: Any = None  # which tokens are there already: bool (rows, vocabulary)
    done: Any = None  # which rows have ended: bool (batch,)
    go_on: Any = None  # whether there is more to do: bool ()
    beams: Any = None


class _Beams(NamedTuple):
    """The state of a beam search: for each sample the beams that go on, and the best ones that have ended."""

    scores: Any  # of those that go on: float32 (batch, beams)
    ended: Any  # the tokens of the others: int32 (batch, beams, room)
    ended_scores: Any  # (batch, beams)
    has_ended: Any  # whether there is one: bool (batch, beams)
    may_improve: Any  # whether a beam that goes on may become better than those that have ended: bool (batch, 1)


def generate(
    net: Any,
    params: Tree,
    ids: Any,
    max_new_tokens: int | None = None,
    *,
    state: Tree = None,
    key: Any = None,
    sample: Callable[[Any, Any], Any] | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    repetition_penalty: float | None = None,
    num_beams: int = 1,
    length_penalty: float = 1.0,
    early_stopping: bool | str = False,
    stop: int | Sequence[int] | None = None,
    pad_token_id: int | None = None,
    suppress_tokens: Sequence[int] | None = None,
    begin_suppress_tokens: Sequence[int] | None = None,
    forced_bos_token_id: int | Sequence[int] | None = None,
    forced_eos_token_id: int | Sequence[int] | None = None,
    mask: Any = None,
    decoder_ids: Any = None,
    stream: Callable[[np.ndarray], Any] | None = None,
) -> Array:
    """The tokens that `net` makes after `ids`: the likeliest ones, drawn ones with a `key`, or those of the best beam.

    The names of the arguments are those of Hugging Face's `generate`, and so are the tokens. One key gives the same
    tokens on every backend, as far as rounding lets them. The programs are kept as long as `net`: another call with the
    same options compiles nothing, unless it has another size of batch, or a much longer prompt.

    Args:
        net: A network whose `forward(s, ids, mask=None, caches=None, positions=None)` returns the logits (batch, time,
            vocabulary), and `(logits, caches)` if there are caches. `net.init_caches(batch, length, backend=...,
            device=...)` makes empty ones: any tree of arrays, each with the batch first, or of shape (). The arguments
            `mask` and `positions` may be missing. If `forward` has an argument `last_only`, it is True, and only the
            logits of the last position (batch, 1, vocabulary) are needed. An encoder-decoder has
            `forward(s, inputs, ids, mask=None, caches=None, positions=None)`, where `mask` is that of `inputs`; after
            the first call inputs and mask are None, and caches hold what is needed of them.
        params: Its parameters. They say on which backend and device everything is computed.
        ids: The prompt, integers (batch, time); or the `inputs` of an encoder-decoder.
        max_new_tokens: How many tokens to make for each row; by default as many as `net.generation` says by
            `max_new_tokens`, or by `max_length`, which counts the prompt, too.
        state: The network's state, if it has one.
        key: A random key, or a seed: tokens are drawn. None: the likeliest token is taken.
        sample: A function of your own, `sample(key, logits)`: float32 logits (batch, vocabulary) to tokens (batch,). It
            becomes a part of the program, so pass the same function object again.
        temperature: The logits are divided by it. At 0 the likeliest token is taken.
        top_k: Only so many of the likeliest tokens are drawn.
        top_p: Only the likeliest tokens are drawn whose probabilities sum up to this (Holtzman et al.,
            arXiv:1904.09751).
        min_p: Only tokens are drawn whose probability is at least this part of the largest one (arXiv:2407.01082).
        repetition_penalty: Logits of tokens that are in the row already are divided by it if they are positive, and
            multiplied if not (arXiv:1909.05858).
        num_beams: How many beams a beam search has for each row. 1: no beam search.
        length_penalty: The score of a beam is divided by its length to this power.
        early_stopping: When a beam search ends: True, as soon as there are `num_beams` complete ones; False, when
            better ones are not likely; "never", when there cannot be better ones.
        stop: The token that ends a row, or several; by default `eos_token_id` of the network. `()` for none. Defaults
            of tokens are those in `net.generation`, if it has them, or else the network's attributes.
        pad_token_id: The token that fills a row after its end; by default the network's, or the first stop token.
        suppress_tokens: Tokens that are never made; by default the network's.
        begin_suppress_tokens: Tokens that are not made at first; by default the network's.
        forced_bos_token_id: The token that is made first, if the prompt, or the output's beginning, is one token; by
            default the network's. `()` for none.
        forced_eos_token_id: The token that is made last, if a row has not ended before; by default the network's.
        mask: For prompts of different lengths: booleans (batch, time), False for the padding, which comes first.
        decoder_ids: How the output of an encoder-decoder begins, integers (batch, time); by default
            `decoder_start_token_id` of the network.
        stream: Called with the tokens (batch,), a NumPy array, as soon as they are made.

    Returns:
        int32 (batch, max_new_tokens), without the prompt.

    Raises:
        ArgumentError: An option is out of range, or does not fit to the others. Or `net` has no caches.
        IndexingError: `ids`, or a token that is an option, lies outside the vocabulary.
        ShapeError: `ids` or `mask` has a wrong shape, or there are more tokens than positions.
    """
    net = as_layer(net)
    names = _arguments(net)
    encodes = "inputs" in names
    rules = _rules(key, sample, temperature, top_k, num_beams, length_penalty, early_stopping, stream)
    _check_options(rules, temperature, top_p, min_p, repetition_penalty)
    backend, where = backend_of(params), _device(params)

    given = to_numpy(ids)
    hidden = _mask(mask, given, names)
    prompt = _prompt("decoder_ids", _started(net, decoder_ids, len(given))) if encodes else _prompt("ids", given)
    count = checks.count("max_new_tokens", _count(net, max_new_tokens, prompt.shape[1]), least=0)
    known = _known.setdefault(net, {})
    vocabulary = _vocabulary(known, net, (given, prompt) if encodes else (prompt,))
    if encodes and given.dtype.kind in "iu":
        prompt = _inside("decoder_ids", prompt, vocabulary)
    else:
        prompt = _inside("ids" if not encodes else "decoder_ids", prompt, vocabulary, None if encodes else hidden)
    stops = _inside("stop", _tokens(net, "stop", stop, "eos_token_id"), vocabulary)
    pad = _tokens(net, "pad_token_id", pad_token_id, "pad_token_id")
    pad = _inside("pad_token_id", pad if pad.size or not stops.size else stops[:1], vocabulary)
    suppressed = [
        _set(name, _tokens(net, name, value, name), vocabulary)
        for name, value in (("suppress_tokens", suppress_tokens), ("begin_suppress_tokens", begin_suppress_tokens))
    ]
    begin, end = (
        _inside(name, _tokens(net, name, value, name), vocabulary)
        for name, value in (("forced_bos_token_id", forced_bos_token_id), ("forced_eos_token_id", forced_eos_token_id))
    )
    most = _check_length(net, prompt.shape[1] + count - 1)
    batch = prompt.shape[0]
    if not count or not batch:
        return asarray(np.zeros((batch, count), np.int32), backend=backend, device=where)

    # A compiled program is for one size. So prompts are filled up, and caches are a little longer than needed.
    time = prompt_length = prompt.shape[1]
    length, room = time + count - 1, count
    if backend.compiles:
        if not encodes and "mask" in names:
            hidden = np.ones(prompt.shape, bool) if hidden is None else hidden
            filling = ((0, 0), (min(_power_of_two(time), most - count + 1) - time, 0))
            prompt, hidden = np.pad(prompt, filling), np.pad(hidden, filling)
        length = room = min(_rounded_up(prompt.shape[1] + count - 1), most)

    def put(x: Any, dtype: str = "int32") -> Any:
        return None if x is None else asarray(np.asarray(x), dtype, backend=backend, device=where)

    # Positions are given in any case: so all layers compute the same of them, which a recording computes once.
    positions = whole = None
    if not encodes:
        there = np.ones(prompt.shape, bool) if hidden is None else hidden
        positions = np.maximum(np.cumsum(there, axis=1) - 1, 0) if "positions" in names else None
        if hidden is not None:
            whole = np.pad(hidden, ((0, 0), (0, length - prompt.shape[1])), constant_values=True)
    rows = whole if whole is None else np.repeat(whole, rules.num_beams, axis=0)
    fixed = _Fixed(
        length=put(count),
        pad=put(pad[0] if pad.size else 0),
        stop=put(stops) if stops.size else None,
        key=_key(key, backend, where),
        temperature=put(temperature or None, "float32") if rules.draws or rules.sample else None,
        top_p=put(top_p, "float32"),
        min_p=put(min_p, "float32"),
        repetition_penalty=put(repetition_penalty, "float32"),
        suppressed=put(suppressed[0], "bool"),
        suppressed_first=put(suppressed[1], "bool"),
        forced_first=put(begin) if begin.size and prompt_length == 1 else None,
        forced_last=put(end) if end.size else None,
    )
    seen = None
    if repetition_penalty is not None:
        seen = np.zeros((batch, vocabulary), bool)
        for row, tokens in enumerate(prompt):
            seen[row, tokens if hidden is None or encodes else tokens[hidden[row]]] = True
    started = _Carry(
        caches=net.init_caches(batch, length, backend=backend, device=where),
        count=put(0),
        last=put(prompt),
        tokens=put(np.full((batch, room), pad[0] if pad.size else 0)),
        positions=put(positions),
        seen=put(seen, "bool"),
        done=None if fixed.stop is None or rules.num_beams > 1 else put(np.zeros(batch), "bool"),
    )
    inputs = None
    if encodes:
        inputs = put(given) if given.dtype.kind in "iu" else put(given, dtype_name(given.dtype))
    params, state = transforms.stop_gradient((params, state))
    first, following = _programs(known, net, backend, rules, names)
    with backend.inferring():
        carry = first(params, state, fixed._replace(mask=put(hidden if encodes else whole, "bool")), started, inputs)
        carry = following(params, state, fixed._replace(mask=put(rows, "bool")), carry, count, stream)
        tokens = carry.tokens if carry.beams is None else carry.beams.ended[:, 0, ...]
        return tokens[:, :count]


# -- the arguments -----------------------------------------------------------------------------------------------------


def _arguments(net: Any) -> tuple[str, ...]:
    """The names of the arguments of the network's `forward`."""
    names = tuple(inspect.signature(net.forward).parameters) if isinstance(net, Layer) else ()
    if "caches" not in names or not hasattr(net, "init_caches"):
        raise ArgumentError(
            f"`net` must be a network with caches, got {type(net).__name__}.",
            argument="net",
            expected="forward(s, ids, mask=None, caches=None), and init_caches(batch, length, backend=..., device=...)",
            got=type(net).__name__,
        )
    return names


def _rules(key, sample, temperature, top_k, num_beams, length_penalty, early_stopping, stream) -> _Rules:
    draws = key is not None and temperature != 0
    checks.positive("top_k", top_k, none=True)
    checks.positive("num_beams", num_beams)
    checks.number("length_penalty", length_penalty)
    if not isinstance(early_stopping, bool) and early_stopping != "never":
        raise ArgumentError.must_be("early_stopping", "a bool or 'never'", early_stopping)
    for name, value in (("sample", sample), ("stream", stream)):
        if value is not None and not callable(value):
            raise ArgumentError.must_be(name, "a function", value)
    if num_beams == 1:
        return _Rules(draws and sample is None, top_k, sample)
    for name, value in (("key", key), ("sample", sample), ("stream", stream)):
        if value is not None:
            raise ArgumentError(
                f"`{name}` does not go together with a beam search, and `num_beams` is {num_beams}.",
                argument=name,
                expected=f"num_beams=1, or no {name}",
                got=shown(value),
            )
    return _Rules(False, top_k, None, num_beams, float(length_penalty), early_stopping)


def _check_options(rules: _Rules, temperature, top_p, min_p, repetition_penalty) -> None:
    if temperature is not None:
        checks.number("temperature", temperature, least=0)
    if repetition_penalty is not None:
        checks.number("repetition_penalty", repetition_penalty, above=0)
    for name, value in (("top_p", top_p), ("min_p", min_p)):
        if value is not None:
            checks.probability(name, value, one=True)
    if rules.draws or rules.sample is not None or temperature == 0:
        return
    for name, value in (("temperature", temperature), ("top_k", rules.top_k), ("top_p", top_p), ("min_p", min_p)):
        if value is not None:
            raise ArgumentError(
                f"`{name}` has no effect, since no token is drawn.",
                argument=name,
                expected="a key, too",
                got=value,
                fix="pass key=kf.random.key(0), or another seed",
            )


def _key(key, backend: Backend, where) -> Any:
    if key is None:
        return None
    if not hasattr(key, "shape"):
        return random.key(key, backend, where)
    return asarray(to_numpy(check_key(key)), backend=backend, device=where)


def _device(params: Tree) -> Any:
    arrays = [x for x in tree.leaves(params) if kind_of(type(x)) is not None]
    return device(arrays[0]) if arrays else None


def _prompt(name: str, ids: np.ndarray) -> np.ndarray:
    if ids.ndim != 2 or not ids.shape[1] or ids.dtype.kind not in "iu":
        got = f"{ids.dtype.name} of shape {ids.shape}"
        raise ShapeError(
            f"`{name}` must be integers (batch, time), with one or more in a row, got {got}.",
            argument=name,
            expected="integers (batch, time)",
            got=got,
        )
    return ids


def _started(net: Any, decoder_ids: Any, batch: int) -> np.ndarray:
    if decoder_ids is not None:
        ids = _prompt("decoder_ids", to_numpy(decoder_ids))
        if len(ids) != batch:
            raise ShapeError(
                f"`decoder_ids` must have a row for each of {batch} samples, got {len(ids)}.",
                argument="decoder_ids",
                expected=f"({batch}, time)",
                got=ids.shape,
            )
        return ids
    first = _said(net, "decoder_start_token_id")
    if first is None:
        raise ArgumentError(
            "`decoder_ids` is missing, and the network has no `decoder_start_token_id`.",
            argument="decoder_ids",
            expected="integers (batch, time)",
            got="nothing",
        )
    return np.full((batch, 1), first)


def _mask(mask: Any, given: np.ndarray, names: tuple[str, ...]) -> np.ndarray | None:
    """The mask of the prompt, or of the inputs, as booleans; None if it hides nothing."""
    if mask is None:
        return None
    out = to_numpy(mask) != 0
    if out.shape != given.shape[: 2 if "inputs" not in names else out.ndim] or out.ndim != 2:
        raise ShapeError(
            f"`mask` must be {given.shape[:2]}, a bool for each token of the prompt, got shape {out.shape}.",
            argument="mask",
            expected=given.shape[:2],
            got=out.shape,
        )
    if out.shape[1] and not out.any(axis=1).all():
        row = int(np.argmin(out.any(axis=1)))
        raise ArgumentError(
            f"`mask` hides all tokens of row {row}.", argument="mask", expected="a token in each row", got="none"
        )
    if out.all():
        return None
    if "mask" not in names:
        raise ArgumentError(
            "`mask` is given, and `forward` of the network has no argument of that name.",
            argument="mask",
            expected="forward(s, ids, mask=None, caches=None)",
            got=f"arguments {', '.join(names)}",
        )
    if "inputs" not in names and not out[:, -1].all():
        row = int(np.argmin(out[:, -1]))
        raise ArgumentError(
            f"`mask` hides the last token of row {row}: padding must come first.",
            argument="mask",
            expected="False for the padding at the left, then True",
            got=out[row].tolist(),
            fix="pad prompts at the left",
        )
    return out


def _vocabulary(known: dict, net: Any, inputs: tuple[np.ndarray, ...]) -> int:
    """How many tokens the network has logits for."""
    if "vocabulary" not in known:
        specs = [Spec((1, *x.shape[1:]), "int32" if x.dtype.kind in "iu" else x.dtype) for x in inputs]
        known["vocabulary"] = int(net.trace(*specs).outputs[-1][2].shape[-1])
    return known["vocabulary"]


def _said(net: Any, name: str) -> Any:
    """The default of an option: what `net.generation` says, or the attribute of the network."""
    said = getattr(net, "generation", None) or {}
    value = said[name] if name in said else getattr(net, name, None)
    if name == "suppress_tokens":
        words = [
            word[0] for word in said.get("bad_words_ids") or () if isinstance(word, list | tuple) and len(word) == 1
        ]
        value = [*(value or ()), *words]
    return value


def _count(net: Any, count: Any, prompt: int) -> Any:
    """`max_new_tokens`, by default what the network says, for a prompt of so many tokens."""
    if count is not None:
        return count
    new, length = _said(net, "max_new_tokens"), _said(net, "max_length")
    if new is None and length is None:
        raise ArgumentError(
            "`max_new_tokens` is missing, and the network says nothing about it.",
            argument="max_new_tokens",
            expected="how many tokens to make",
            got="nothing",
        )
    return max(checks.integer("max_length", length) - prompt, 0) if new is None else new


def _tokens(net: Any, name: str, value: Any, attribute: str) -> np.ndarray:
    """The tokens of an option, (n,); by default those that the network names."""
    value = _said(net, attribute) if value is None else value
    value = () if value is None else value
    try:
        return np.asarray([checks.integer(name, checks.as_python(x)) for x in np.ravel(value)], np.int64)
    except ArgumentError:
        raise ArgumentError.must_be(name, "a token, or several", value) from None


def _inside(name: str, ids: np.ndarray, vocabulary: int, mask: np.ndarray | None = None) -> np.ndarray:
    outside = (ids < 0) | (ids >= vocabulary)
    if mask is not None:
        ids, outside = np.where(mask, ids, 0), outside & mask  # padding may be any number
    if outside.any():
        wrong = int(ids[outside][0])
        raise IndexingError(
            f"`{name}` has the token {wrong}, and the network has {vocabulary} tokens.",
            argument=name,
            expected=f"tokens in [0, {vocabulary})",
            got=wrong,
            fix="take the tokenizer that belongs to the network" if "ids" in name else None,
        )
    return ids


def _set(name: str, tokens: np.ndarray, vocabulary: int) -> np.ndarray | None:
    if not tokens.size:
        return None
    out = np.zeros(vocabulary, bool)
    out[tokens[(tokens >= 0) & (tokens < vocabulary)]] = True  # no other token can be made anyway
    if out.all():
        raise ArgumentError(f"`{name}` has all tokens.", argument=name, expected="some of them", got=vocabulary)
    return out


def _check_length(net: Any, length: int) -> int:
    """How many positions the network has; a ShapeError if it reads more tokens."""
    named = [(name, getattr(net, name, None)) for name in _LIMITS]
    limits = {name: most for name, most in named if isinstance(most, int)}
    for name, most in limits.items():
        if length > most:
            raise ShapeError(
                f"The prompt and `max_new_tokens` take {length} positions, and the network has {most}.",
                argument="max_new_tokens",
                expected=f"`{name}` of the network, {most}",
                got=length,
                fix="take a shorter prompt, or fewer new tokens",
            )
    return min(limits.values(), default=sys.maxsize)


def _power_of_two(n: int) -> int:
    return max(16, 1 << (n - 1).bit_length())


def _rounded_up(n: int) -> int:
    """`n`, or up to a quarter more: so there are four lengths between a power of two and the next one."""
    step = max(16, _power_of_two(n) // 8)
    return -(-n // step) * step


# -- the programs ------------------------------------------------------------------------------------------------------

_known: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()
"""What has been made for each network: its programs, and the size of its vocabulary."""


def _programs(
    known: dict, net: Any, backend: Backend, rules: _Rules, names: tuple[str, ...]
) -> tuple[Callable, Callable]:
    """`first`, which reads the prompt and makes a token, and `following`, which makes all others."""
    key, encodes = (backend.name, rules), "inputs" in names
    if key not in known:
        from .tracing.record import recorded  # here, so that importing kfunc takes no longer

        kept = weakref.ref(net)  # the programs must not keep their own key alive

        def forward(params, state, inputs, carry, mask):
            options = {"caches": carry.caches, "mask": mask, "positions": carry.positions}
            options = {name: x for name, x in options.items() if x is not None}
            if "last_only" in names:
                options["last_only"] = True
            given = (inputs, carry.last) if encodes else (carry.last,)
            (logits, caches), _ = kept().apply(params, *given, state=state, **options)  # type: ignore[misc]
            positions = None if carry.positions is None else carry.positions[:, -1:] + 1
            return ops.cast(logits[:, -1, :], "float32"), carry._replace(caches=caches, positions=positions)

        @native
        def first(params, state, fixed, carry, inputs):
            logits, carry = forward(params, state, inputs, carry, fixed.mask)
            if rules.num_beams > 1:
                logits, carry = _with_beams(rules, logits, carry)
                return _search(rules, fixed, logits, carry)
            return _chosen(rules, fixed, logits, carry)

        @native
        def step(params, state, fixed, carry):
            logits, carry = forward(params, state, None, carry, None if encodes else fixed.mask)
            return (_search if rules.num_beams > 1 else _chosen)(rules, fixed, logits, carry)

        @native
        def loop(params, state, fixed, carry, until):
            def more(c):
                return c.count < until if c.go_on is None else (c.count < until) & c.go_on

            return transforms.while_loop(more, lambda c: step(params, state, fixed, c), carry)

        if backend.compiles:
            ready = functools.partial(backend.jit, constant_argnums=(0, 1))
            rest = _Following(backend, ready(loop if backend.loops else step, donate_argnums=(3,)))
        else:
            ready = functools.partial(recorded, backend)

            def one(given, carry, batch):
                params, state, fixed = given
                return step(params, state, fixed, carry)

            rest = _Following(backend, ready(one, donate_argnums=(1,)))
        known[key] = ready(first), rest
    return known[key]


class _Following:
    """Makes all tokens but the first one, by a program for one token, or by one with a loop in it."""

    def __init__(self, backend: Backend, program: Any) -> None:
        self.backend, self.program = backend, program

    def __call__(self, params, state, fixed, first: _Carry, count: int, stream) -> _Carry:
        carry, made = Carry(first), 1
        further = self._further((params, state, fixed), carry)
        while True:
            now = carry.value
            if stream is not None:
                stream(to_numpy(now.last)[:, 0])
            if made >= count or (now.go_on is not None and not bool(to_numpy(now.go_on))):
                return now
            # A program with a loop sees itself where the rows end; otherwise the host looks after some tokens.
            most = 1 if stream is not None else _EVERY if now.go_on is not None and not self.backend.loops else count
            n = min(most, count - made)
            further(made + n, n)
            made += n

    def _further(self, given: tuple, carry: Carry) -> Callable[[int, int], None]:
        """A function that makes `n` tokens more, so that there are `until` of them."""
        backend, program = self.backend, self.program
        if not backend.compiles:
            loop = program.loop(given)
            return lambda until, n: loop.repeat(carry, n)
        where = device(given[-1].length)

        def run(until: int, n: int) -> None:
            if backend.loops:
                end = asarray(np.asarray(until, np.int32), backend=backend, device=where)
                carry.replace(program(*given, carry.value, end))
            else:
                for _ in range(n):
                    carry.replace(program(*given, carry.value))

        return run


# -- the next token: all below runs inside the programs ----------------------------------------------------------------


def _processed(rules: _Rules, fixed: _Fixed, logits: Any, carry: _Carry) -> Any:
    """Logits (rows, vocabulary) after all options."""
    xp = namespace(logits)
    never = xp.full_like(logits, -math.inf)
    if fixed.repetition_penalty is not None:
        penalty = fixed.repetition_penalty
        logits = xp.where(carry.seen, xp.where(logits < 0, logits * penalty, logits / penalty), logits)
    if fixed.suppressed is not None:
        logits = xp.where(fixed.suppressed, never, logits)
    if fixed.suppressed_first is not None:
        logits = xp.where(fixed.suppressed_first & (carry.count == 0), never, logits)
    for tokens, last in ((fixed.forced_first, False), (fixed.forced_last, True)):
        if tokens is not None:
            forced = xp.where(_is_one_of(ops.positions(logits, 1), tokens), xp.zeros_like(logits), never)
            logits = xp.where(carry.count == (fixed.length - 1 if last else 0), forced, logits)
    if fixed.temperature is not None:
        logits = logits / fixed.temperature
    if rules.top_k is not None or fixed.top_p is not None:
        most = logits.shape[-1] if rules.top_k is None else min(rules.top_k, logits.shape[-1])
        order = ops.top_k(logits, most)[0]
        if fixed.top_p is not None:
            p = ops.softmax(order, axis=-1)
            before = xp.cumulative_sum(p, axis=-1) - p
            # The likeliest token stays in any case.
            order = xp.where((before < fixed.top_p) | (ops.positions(order, 1) == 0), order, math.inf)
        logits = xp.where(logits < xp.min(order, axis=-1, keepdims=True), never, logits)
    if fixed.min_p is not None:
        p = ops.softmax(logits, axis=-1)
        logits = xp.where(p < fixed.min_p * xp.max(p, axis=-1, keepdims=True), never, logits)
    return logits


def _is_one_of(tokens: Any, stop: Any) -> Any:
    """Which of the tokens (...) end a row."""
    xp = namespace(tokens)
    return xp.any(xp.expand_dims(tokens, axis=-1) == stop, axis=-1)


def _noted(seen: Any, tokens: Any) -> Any:
    """`seen` (rows, vocabulary) with tokens (rows,) noted, too; None where nothing is noted."""
    if seen is None:
        return None
    return seen | (namespace(seen).expand_dims(tokens, axis=-1) == ops.positions(seen, 1))


def _chosen(rules: _Rules, fixed: _Fixed, logits: Any, carry: _Carry) -> _Carry:
    """The carry with the next token of each row."""
    xp = namespace(logits)
    logits = _processed(rules, fixed, logits, carry)
    key = None if fixed.key is None else random.fold_in(fixed.key, carry.count)
    if rules.sample is not None:
        tokens = ops.cast(rules.sample(key, logits), "int32")
    elif rules.draws:
        tokens = random.categorical(key, logits)
    else:
        tokens = ops.cast(xp.argmax(logits, axis=-1), "int32")
    done = go_on = None
    if fixed.stop is not None:
        tokens = xp.where(carry.done, fixed.pad, tokens)
        done = carry.done | _is_one_of(tokens, fixed.stop)
        go_on = ~xp.all(done)
    last = xp.expand_dims(tokens, axis=-1)
    return carry._replace(
        count=carry.count + 1,
        last=last,
        tokens=ops.slice_update(carry.tokens, [0, carry.count], last),
        seen=_noted(carry.seen, tokens),
        done=done,
        go_on=go_on,
    )


def _taken(x: Any, indices: Any) -> Any:
    """`x` (batch, beams, ...) at indices (batch, n): (batch, n, ...)."""
    xp = namespace(x)
    if x.ndim > 2:
        indices = xp.broadcast_to(xp.expand_dims(indices, axis=-1), (*indices.shape, x.shape[-1]))
    return ops.take_along_axis(x, indices, axis=1)


def _of_rows(tree_: Any, rows: Any) -> Any:
    """All arrays of a tree at the indices `rows` of their first axis; arrays of shape () as they are."""
    return tree.map(lambda x: namespace(x).take(x, rows, axis=0) if getattr(x, "ndim", 0) else x, tree_)


def _with_beams(rules: _Rules, logits: Any, carry: _Carry) -> tuple[Any, _Carry]:
    """Everything of each sample for each of its beams. At first, only the first one counts."""
    xp, (batch, n) = namespace(logits), (carry.tokens.shape[0], rules.num_beams)
    where = device(logits)
    rows = xp.repeat(xp.arange(batch, dtype=xp.int32, device=where), n)
    logits, caches, seen, positions = _of_rows((logits, carry.caches, carry.seen, carry.positions), rows)
    tokens = xp.broadcast_to(xp.expand_dims(carry.tokens, axis=1), (batch, n, carry.tokens.shape[1]))
    zeros = xp.zeros((batch, n), dtype=xp.float32, device=where)
    beams = _Beams(
        scores=xp.where(ops.positions(zeros, 1) == 0, zeros, _LOW),
        ended=tokens,
        ended_scores=zeros + _LOW,
        has_ended=zeros > 0,
        may_improve=zeros[:, :1] == 0,
    )
    return logits, carry._replace(caches=caches, seen=seen, positions=positions, tokens=tokens, beams=beams)


_LOW = -1e9  # a score below those of all beams


def _search(rules: _Rules, fixed: _Fixed, logits: Any, carry: _Carry) -> _Carry:
    """The carry with the next token of each beam, as Hugging Face's beam search takes it.

    Of all continuations so many are looked at that `num_beams` do not end here. Those that end, and are among the
    `num_beams` best ones, compete with those that ended before.
    """
    xp, beams, n = namespace(logits), carry.beams, rules.num_beams
    batch, vocabulary = carry.tokens.shape[0], logits.shape[-1]
    scores = _processed(rules, fixed, ops.log_softmax(logits, axis=-1), carry)
    scores = xp.reshape(scores, (batch, n, vocabulary)) + xp.expand_dims(beams.scores, axis=-1)
    looked_at = min(n * max(2, 1 if fixed.stop is None else 1 + fixed.stop.shape[0]), n * vocabulary)
    scores, places = ops.top_k(xp.reshape(scores, (batch, -1)), looked_at)
    places = ops.cast(places, "int32")
    of, last = places // vocabulary, places % vocabulary
    tokens = _taken(carry.tokens, of)
    tokens = xp.where(ops.positions(tokens, 2) == carry.count, xp.expand_dims(last, axis=-1), tokens)

    count = carry.count + 1
    low, nothing = xp.full_like(scores, _LOW), xp.zeros_like(scores)
    ends = xp.broadcast_to(count >= fixed.length, scores.shape)
    if fixed.stop is not None:
        ends = ends | _is_one_of(last, fixed.stop)
    going, chosen = ops.top_k(scores + xp.where(ends, low, nothing), n)
    chosen = ops.cast(chosen, "int32")
    last = xp.reshape(_taken(last, chosen), (-1, 1))
    starts = n * xp.expand_dims(xp.arange(batch, dtype=xp.int32, device=device(logits)), axis=-1)
    rows = xp.reshape(_taken(of, chosen) + starts, (-1,))

    length = ops.cast(count, "float32")
    best = ends & (ops.positions(scores, 1) < n)
    ended = scores / length**rules.length_penalty
    refusals = [~beams.may_improve, ~best]
    if rules.early_stopping is True:
        refusals.append(xp.all(beams.has_ended, axis=-1, keepdims=True))
    for refused in refusals:
        ended = ended + xp.where(refused, low, nothing)
    ended_scores, kept = ops.top_k(xp.concat([beams.ended_scores, ended], axis=1), n)
    kept = ops.cast(kept, "int32")
    has_ended = _taken(ops.cast(xp.concat([beams.has_ended, best], axis=1), "int32"), kept) > 0

    long = ops.cast(fixed.length, "float32") if rules.early_stopping == "never" and rules.length_penalty > 0 else length
    worst = xp.where(has_ended, xp.min(ended_scores, axis=1, keepdims=True), xp.full_like(ended_scores, _LOW))
    improves = xp.any(going[:, :1] / long**rules.length_penalty > worst, axis=-1, keepdims=True)
    may_improve = beams.may_improve & improves
    go_on = xp.any(may_improve) & ~xp.all(ends)
    if rules.early_stopping is True:
        go_on = go_on & ~xp.all(has_ended)
    caches, seen = _of_rows((carry.caches, carry.seen), rows)
    return carry._replace(
        caches=caches,
        count=count,
        last=last,
        tokens=_taken(tokens, chosen),
        seen=_noted(seen, last[:, 0]),
        go_on=go_on,
        beams=_Beams(
            scores=going,
            ended=_taken(xp.concat([beams.ended, tokens], axis=1), kept),
            ended_scores=ended_scores,
            has_ended=has_ended,
            may_improve=may_improve,
        ),
    )
