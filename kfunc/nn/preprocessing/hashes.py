"""The hashes by which Keras sorts strings into bins: FarmHash64 and SipHash64 of many strings at once, in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["buckets", "crossed", "farmhash64", "siphash64"]

_U = np.uint64
_K0, _K1, _K2 = _U(0xC3A5C85C97CB3127), _U(0xB492B66FBE98F273), _U(0x9AE16A3B2F90404F)
_CROSS_KEY, _CROSS = _U(0xDECAFCAFFE), _U(0xC6A4A7935BD1E995)


class _Texts:
    """Byte strings in one buffer, of which words of 8 and 4 bytes are read at any place.

    Args:
        texts: The strings, in UTF-8.
    """

    def __init__(self, texts: Sequence[bytes]):
        self.lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        self.starts = np.cumsum(self.lengths) - self.lengths
        buffer = b"".join(texts) + bytes(16)  # so that words which begin at the last byte can be read
        self.bytes = np.frombuffer(buffer, np.uint8)
        size = len(buffer) - 8
        self.words = np.ndarray((size,), "<u8", buffer, strides=(1,))
        self.halves = np.ndarray((size,), "<u4", buffer, strides=(1,))

    def at(self, places: Any) -> Any:
        """The 8 bytes at each place as an integer, uint64."""
        return self.words[places]

    def half(self, places: Any) -> Any:
        """The 4 bytes at each place as an integer, uint64."""
        return self.halves[places].astype(_U)

    def byte(self, places: Any) -> Any:
        return self.bytes[places].astype(_U)


def _turned(x: Any, bits: int) -> Any:
    """The bits of `x`, turned to the right."""
    return (x >> _U(bits)) | (x << _U(64 - bits))


def _mixed(x: Any) -> Any:
    return x ^ (x >> _U(47))


def _joined(u: Any, v: Any, mul: Any) -> Any:
    """One integer from two."""
    a = _mixed((u ^ v) * mul)
    return _mixed((v ^ a) * mul) * mul


def _short(t: _Texts, s: Any, n: Any) -> Any:
    """The hash of up to 16 bytes; `s` are the places of the strings, and `n` their lengths."""
    out = np.full(s.shape, _K2, _U)
    size = n.astype(_U)
    if (i := np.flatnonzero(n >= 8)).size:
        mul, a, b = _K2 + size[i] * _U(2), t.at(s[i]) + _K2, t.at(s[i] + n[i] - 8)
        out[i] = _joined(_turned(b, 37) * mul + a, (_turned(a, 25) + b) * mul, mul)
    if (i := np.flatnonzero((n >= 4) & (n < 8))).size:
        a = t.half(s[i])
        out[i] = _joined(size[i] + (a << _U(3)), t.half(s[i] + n[i] - 4), _K2 + size[i] * _U(2))
    if (i := np.flatnonzero((n > 0) & (n < 4))).size:
        y = t.byte(s[i]) + (t.byte(s[i] + n[i] // 2) << _U(8))
        z = size[i] + (t.byte(s[i] + n[i] - 1) << _U(2))
        out[i] = _mixed(y * _K2 ^ z * _K0) * _K2
    return out


def _middle(t: _Texts, s: Any, n: Any) -> Any:
    """The hash of 17 to 32 bytes."""
    mul = _K2 + n.astype(_U) * _U(2)
    a, b, c, d = t.at(s) * _K1, t.at(s + 8), t.at(s + n - 8) * mul, t.at(s + n - 16) * _K2
    return _joined(_turned(a + b, 43) + _turned(c, 30) + d, a + _turned(b + _K2, 18) + c, mul)


def _longer(t: _Texts, s: Any, n: Any) -> Any:
    """The hash of 33 to 64 bytes."""
    mul = _K2 + n.astype(_U) * _U(2)
    a, b, c, d = t.at(s) * _K2, t.at(s + 8), t.at(s + n - 8) * mul, t.at(s + n - 16) * _K2
    y = _turned(a + b, 43) + _turned(c, 30) + d
    z = _joined(y, a + _turned(b + _K2, 18) + c, mul)
    e, f = t.at(s + 16) * mul, t.at(s + 24)
    g, h = (y + t.at(s + n - 32)) * mul, (z + t.at(s + n - 24)) * mul
    return _joined(_turned(e + f, 43) + _turned(g, 30) + h, e + _turned(f + a, 18) + g, mul)


def _weak(t: _Texts, s: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Two integers from 32 bytes and two others."""
    w, z = t.at(s), t.at(s + 24)
    a = a + w
    b = _turned(b + a + z, 21)
    c = a
    a = a + t.at(s + 8) + t.at(s + 16)
    return a + z, b + _turned(a, 44) + c


def _long(t: _Texts, s: Any, n: Any) -> Any:
    """The hash of more than 64 bytes."""

    def block(s: Any, x: Any, y: Any, z: Any, v: Any, w: Any, mul: Any, nine: Any) -> tuple[Any, ...]:
        x = _turned(x + y + v[0] + t.at(s + 8), 37) * mul
        y = _turned(y + v[1] + t.at(s + 48), 42) * mul
        x = x ^ w[1] * nine
        y = y + v[0] * nine + t.at(s + 40)
        z = _turned(z + w[0], 33) * mul
        v = _weak(t, s, v[1] * mul, x + w[0])
        w = _weak(t, s + 32, z + w[1], y + t.at(s + 16))
        return z, y, x, v, w

    order = np.argsort(-n, kind="stable")  # the longest first, so that those which still have blocks lie in front
    place, size = s[order], n[order]
    blocks = (size - 1) // 64
    zero = np.zeros(s.shape, _U)
    x, y = zero + _U(81) * _K2 + t.at(place), zero + _U(81) * _K1 + _U(113)
    z = _mixed(y * _K2 + _U(113)) * _K2
    state = np.stack([x, y, z, zero, zero, zero, zero])
    for number in range(int(blocks[0])):
        now = int(np.searchsorted(-blocks, -number, side="left"))  # so many have a block of this number
        x, y, z, v0, v1, w0, w1 = state[:, :now]
        x, y, z, v, w = block(place[:now] + 64 * number, x, y, z, (v0, v1), (w0, w1), _K1, _U(1))
        state[:, :now] = x, y, z, *v, *w
    x, y, z, v0, v1, w0, w1 = state
    mul = _K1 + ((z & _U(0xFF)) << _U(1))
    w0 = w0 + ((size - 1) & 63).astype(_U)
    v0 = v0 + w0
    w0 = w0 + v0
    x, y, z, v, w = block(place + size - 64, x, y, z, (v0, v1), (w0, w1), mul, _U(9))
    # `block` has exchanged x and z already.
    found = _joined(_joined(v[0], w[0], mul) + _mixed(y) * _K0 + z, _joined(v[1], w[1], mul) + x, mul)
    out = np.empty_like(found)
    out[order] = found
    return out


def farmhash64(texts: Sequence[bytes]) -> np.ndarray:
    """FarmHash's `Fingerprint64` of each string, uint64: that of `tf.strings.to_hash_bucket_fast`.

    Source: https://github.com/google/farmhash, the variant "farmhashna".
    """
    t = _Texts(texts)
    out = np.empty(len(texts), _U)
    with np.errstate(over="ignore"):
        for least, most, hashed in ((0, 16, _short), (17, 32, _middle), (33, 64, _longer), (65, None, _long)):
            of = (t.lengths >= least) & (True if most is None else t.lengths <= most)
            if (i := np.flatnonzero(of)).size:
                out[i] = hashed(t, t.starts[i], t.lengths[i])
    return out


def siphash64(texts: Sequence[bytes], key: tuple[int, int]) -> np.ndarray:
    """SipHash-2-4 of each string with a key of two integers, uint64: that of `tf.strings.to_hash_bucket_strong`.

    Source: https://www.aumasson.jp/siphash/siphash.pdf.
    """
    t = _Texts(texts)
    order = np.argsort(-t.lengths, kind="stable")
    place, size = t.starts[order], t.lengths[order]
    k0, k1 = (_U(k & 0xFFFFFFFFFFFFFFFF) for k in key)
    first = (k0 ^ _U(0x736F6D6570736575), k1 ^ _U(0x646F72616E646F6D), k0 ^ _U(0x6C7967656E657261))
    v = np.stack([np.full(size.shape, x, _U) for x in (*first, k1 ^ _U(0x7465646279746573))])

    def left(x: Any, bits: int) -> Any:
        return (x << _U(bits)) | (x >> _U(64 - bits))

    def rounds(v: Any, times: int) -> tuple[Any, ...]:
        a, b, c, d = v
        for _ in range(times):
            a, c = a + b, c + d
            b, d = left(b, 13) ^ a, left(d, 16) ^ c
            a, c = left(a, 32) + d, c + b
            d, b = left(d, 21) ^ a, left(b, 17) ^ c
            c = left(c, 32)
        return a, b, c, d

    def compressed(v: Any, word: Any) -> tuple[Any, ...]:
        a, b, c, d = rounds((v[0], v[1], v[2], v[3] ^ word), 2)
        return a ^ word, b, c, d

    with np.errstate(over="ignore"):
        words = size // 8
        for number in range(int(words[0]) if words.size else 0):
            now = int(np.searchsorted(-words, -number, side="left"))
            v[:, :now] = compressed(v[:, :now], t.at(place[:now] + 8 * number))
        rest = (size % 8).astype(_U)
        last = t.at(place + 8 * words) & ((_U(1) << (rest * _U(8))) - _U(1))
        a, b, c, d = compressed(v, last | (size.astype(_U) << _U(56)))
        a, b, c, d = rounds((a, b, c ^ _U(0xFF), d), 4)
        out = np.empty(size.shape, _U)
        out[order] = a ^ b ^ c ^ d
    return out


def buckets(texts: Sequence[bytes], bins: int, salt: tuple[int, int] | None = None) -> np.ndarray:
    """The bin of each string, int64: by FarmHash64, or by SipHash64 with a salt."""
    hashed = farmhash64(texts) if salt is None else siphash64(texts, salt)
    return (hashed % _U(bins)).astype(np.int64)


def crossed(columns: Sequence[Any], bins: int) -> np.ndarray:
    """The bin of each combination of features, int64: that of `tf.sparse.cross_hashed`.

    Args:
        columns: For each feature its hashes, or integers, uint64 (samples,).
        bins: Their number.
    """
    out = np.full(columns[0].shape, _CROSS_KEY, _U)
    with np.errstate(over="ignore"):
        for column in columns:
            out = (out ^ _CROSS ^ _mixed(column * _CROSS) * _CROSS) * _CROSS
            out = _mixed(_mixed(out) * _CROSS)
    return (out % _U(bins)).astype(np.int64)
