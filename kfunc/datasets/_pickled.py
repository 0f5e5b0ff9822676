"""Pickled lists and NumPy arrays, read without running anything that is in them."""

from __future__ import annotations

import io
import pickletools
import re
from typing import Any

import numpy as np

__all__ = ["unpickled"]

_NAMES = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",
}
"""The only names that may occur, and what they mean here."""

_INTEGERS = re.compile(rb"(?:K.|M..|J.{4})+", re.DOTALL)


class _Dtype:
    def __init__(self, name: Any):
        self.found = np.dtype(_text(name))
        if self.found.kind not in "Obiuf":
            raise ValueError(f"it has an array of the dtype {self.found}")


class _Array:
    found: np.ndarray | None = None


def unpickled(data: bytes) -> Any:
    """What a pickle of lists, dicts, texts, numbers and NumPy's arrays holds.

    imdb and reuters are files of NumPy's with lists in them, and CIFAR's files are pickles, too. To load a pickle may
    run any code. Here Python's own disassembler reads its instructions and runs none; those have a meaning that make
    containers, numbers, texts and arrays, and all others are refused.

    Returns:
        The object. Texts of Python 2 are bytes.

    Raises:
        ValueError: There is something else in it.
    """
    try:
        return _read(io.BytesIO(data), data)
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"it is damaged ({type(error).__name__}: {error})") from error


def _read(file: io.BytesIO, data: bytes) -> Any:
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        at = marks.pop()
        found = stack[at:]
        del stack[at:]
        return found

    def pairs() -> Any:
        found = since_mark()
        return zip(found[::2], found[1::2], strict=True)

    argument: Any
    for opcode, argument, _ in pickletools.genops(file):
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return _finished(stack.pop())
            case "MARK":
                marks.append(len(stack))
                # Long lists of integers are most of a file: a pattern reads them ten times as fast.
                if run := _INTEGERS.match(data, file.tell()):
                    stack += _integers(run.group())
                    file.seek(run.end())
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "EMPTY_LIST" | "EMPTY_DICT" | "EMPTY_TUPLE":
                stack.append({"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}[opcode.name]())
            case "LIST" | "TUPLE":
                stack.append((list if opcode.name == "LIST" else tuple)(since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack[-int(opcode.name[-1]) :] = [tuple(stack[-int(opcode.name[-1]) :])]
            case "DICT":
                stack.append(dict(pairs()))
            case "APPEND":
                last = stack.pop()
                _as(list, stack[-1]).append(last)
            case "APPENDS":
                found = since_mark()
                _as(list, stack[-1]).extend(found)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _as(dict, stack[-1])[key] = value
            case "SETITEMS":
                new = dict(pairs())
                _as(dict, stack[-1]).update(new)
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_named(argument))
            case "STACK_GLOBAL":
                name = stack.pop()
                stack[-1] = _named(f"{stack[-1]} {name}")
            case "REDUCE":
                arguments = stack.pop()
                stack[-1] = _made(stack[-1], arguments)
            case "BUILD":
                state = stack.pop()
                _build(stack[-1], state)
            case "STRING" | "BINSTRING" | "SHORT_BINSTRING":
                stack.append(argument.encode("latin-1"))
            case (
                "INT"
                | "BININT"
                | "BININT1"
                | "BININT2"
                | "LONG"
                | "LONG1"
                | "LONG4"
                | "FLOAT"
                | "BINFLOAT"
                | "UNICODE"
                | "SHORT_BINUNICODE"
                | "BINUNICODE"
                | "SHORT_BINBYTES"
                | "BINBYTES"
                | "BINBYTES8"
            ):
                stack.append(argument)
            case name:
                raise ValueError(f"it has the instruction {name}, which is not for lists and arrays")
    raise ValueError("it ends early")


def _integers(run: bytes) -> list[int]:
    found, at, most = [], 0, len(run)
    while at < most:
        kind = run[at]
        if kind == 0x4B:  # K: one byte
            found.append(run[at + 1])
            at += 2
        elif kind == 0x4D:  # M: two bytes
            found.append(run[at + 1] | run[at + 2] << 8)
            at += 3
        else:  # J: four bytes, with a sign
            found.append(int.from_bytes(run[at + 1 : at + 5], "little", signed=True))
            at += 5
    return found


def _as(kind: type, x: Any) -> Any:
    if type(x) is not kind:
        raise ValueError(f"it puts something into {type(x).__name__}")
    return x


def _named(name: str) -> str:
    if name not in _NAMES:
        raise ValueError(f"it names {name!r}, which it may not")
    return _NAMES[name]


def _text(x: Any) -> str:
    return x.decode("ascii") if isinstance(x, bytes) else x


def _made(function: Any, arguments: tuple) -> Any:
    if function == "array":
        return _Array()
    if function == "dtype":
        return _Dtype(arguments[0])
    if function == "encode" and _text(arguments[1]) == "latin1":  # how Python 3 writes bytes for Python 2
        return arguments[0].encode("latin-1")
    raise ValueError("it calls something else than what makes arrays")


def _build(x: Any, state: tuple) -> None:
    if isinstance(x, _Dtype):
        order: Any = _text(state[1])
        x.found = x.found if order == "|" else x.found.newbyteorder(order)
        return
    _, shape, dtype, fortran, content = state
    if not isinstance(x, _Array) or not isinstance(dtype, _Dtype):
        raise ValueError("it fills something else than an array")
    if dtype.found.kind == "O":
        array = np.empty(len(content), object)
        array[:] = [_finished(item) for item in content]
    else:
        array = np.frombuffer(content, dtype.found)
    x.found = array.reshape(shape, order="F" if fortran else "C")


def _finished(x: Any) -> Any:
    """`x` with arrays in place of what stands for them."""
    if isinstance(x, _Array):
        if x.found is None:
            raise ValueError("an array in it has no content")
        return x.found
    if isinstance(x, dict):
        return {key: _finished(value) for key, value in x.items()}
    if isinstance(x, list | tuple) and any(isinstance(item, _Array | dict | list | tuple) for item in x):
        return type(x)([_finished(item) for item in x])
    return x
