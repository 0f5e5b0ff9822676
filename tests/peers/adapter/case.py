"""`TestCase`, with arrays, dtypes and layers of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras.src import testing as keras_testing

import kfunc as kf

from . import arrays


def skip_if_backend(given: str, reason: str) -> Any:
    return pytest.mark.skipif(given == arrays.BACKEND, reason=reason)


class TestCase(keras_testing.TestCase):
    def convert_to_numpy(self, x):
        x = arrays.value_of(x)
        if isinstance(x, list | tuple):
            return np.array([self.convert_to_numpy(v) for v in x])
        return kf.to_numpy(x) if arrays.is_tensor(x) else np.array(x)

    def assertDType(self, x, dtype, msg=None):
        got = arrays.standardize_dtype(x.dtype if hasattr(x, "dtype") else type(x))
        self.assertEqual(got, arrays.standardize_dtype(dtype), msg=msg)

    def assertSparse(self, x, sparse=True):
        if sparse:
            raise arrays.Unmapped("sparse tensors")

    def assertRagged(self, x, ragged=True):
        if ragged:
            raise arrays.Unmapped("ragged tensors")

    def assertRaisesRegex(self, expected_exception, expected_regex, *args, **kwargs):
        """The type of the error; kfunc's words are its own."""
        return self.assertRaises(expected_exception, *args, **kwargs)

    def run_class_serialization_test(self, instance, custom_objects=None):
        return instance.again()

    def run_layer_test(
        self,
        layer_cls,
        init_kwargs,
        input_shape=None,
        input_dtype=None,
        input_sparse=False,
        input_ragged=False,
        input_data=None,
        call_kwargs=None,
        expected_output_shape=None,
        expected_output_dtype=None,
        expected_output_sparse=False,
        expected_output_ragged=False,
        expected_output=None,
        expected_num_trainable_weights=None,
        expected_num_non_trainable_weights=None,
        expected_num_non_trainable_variables=None,
        expected_num_seed_generators=None,
        expected_num_losses=None,
        supports_masking=None,
        expected_mask_shape=None,
        custom_objects=None,
        run_training_check=True,
        run_mixed_precision_check=True,
        assert_built_after_instantiation=False,
        **_,
    ):
        """Config, shapes without and with values, values, weights, gradients and mixed precision of one layer."""
        if input_sparse or input_ragged:
            raise arrays.Unmapped("sparse and ragged tensors")
        call_kwargs = call_kwargs or {}
        layer = layer_cls(**(init_kwargs or {}))
        self.run_class_serialization_test(layer)
        if input_data is None and input_shape is None:
            return
        if input_data is None:
            input_data = _drawn(input_shape, input_dtype)

        def called(layer, data, **kwargs):
            return layer(**data, **kwargs) if isinstance(data, dict) else layer(data, **kwargs)

        def check(layer, out):
            if expected_output_shape is not None:
                self._same_shapes(expected_output_shape, out)
            if expected_output_dtype is not None:
                dtypes = [arrays.standardize_dtype(x.dtype) for x in kf.tree.leaves(out)]
                self.assertEqual(dtypes, list(np.ravel(expected_output_dtype)))
            for number, weights in (
                (expected_num_trainable_weights, layer.trainable_weights),
                (expected_num_non_trainable_weights, layer.non_trainable_weights),
            ):
                if number is not None:
                    self.assertLen(weights, number)

        # Without values, then with the batch unknown.
        specs = kf.tree.map(lambda x: kf.Spec(x.shape, x.dtype), arrays.to_backend(input_data))
        symbolic = layer_cls(**(init_kwargs or {}))
        check(symbolic, called(symbolic, specs, **call_kwargs))

        out = called(layer, input_data, **call_kwargs)
        check(layer, out)
        if expected_output is not None:
            for want, got in zip(kf.tree.leaves(expected_output), kf.tree.leaves(out), strict=True):
                self.assertAllClose(want, got, atol=1e-5, rtol=1e-5)
        if expected_num_losses is not None:
            self.assertLen(layer.losses, expected_num_losses)
        if expected_mask_shape is not None:
            self.assertEqual(tuple(layer.mask_out.shape), tuple(expected_mask_shape))
        if run_training_check and layer.trees["params"] and not isinstance(input_data, dict):
            self._gradients(layer, input_data, call_kwargs)
        if run_mixed_precision_check and arrays.BACKEND != "torch":
            mixed = layer_cls(**{**(init_kwargs or {}), "dtype": "mixed_float16"})
            called(mixed, input_data, **call_kwargs)
            for w in mixed.weights:
                if "float" in w.dtype:
                    self.assertEqual(w.dtype, "float32")

    def _same_shapes(self, expected, out):
        if arrays.is_shape(expected):
            shape = tuple(out.shape)
            fits = len(shape) == len(expected) and all(
                b is None or a == b for a, b in zip(shape, expected, strict=True)
            )
            self.assertTrue(fits, f"expected shape {expected}, got {shape}")
            return
        parts = [out[k] for k in expected] if isinstance(expected, dict) else list(out)
        for want, got in zip(expected.values() if isinstance(expected, dict) else expected, parts, strict=True):
            self._same_shapes(want, got)

    def _gradients(self, layer, data, call_kwargs):
        """A finite gradient for each parameter."""
        args, kwargs, _ = layer._bound((data,), dict(call_kwargs))
        key = kf.random.key(0, backend=arrays.BACKEND)

        def total(params):
            out, _ = layer.ours.apply(params, *args, state=layer.trees["state"], key=key, train=True, **kwargs)
            floats = [x for x in kf.tree.leaves(out) if "float" in arrays.standardize_dtype(x.dtype)]
            return kf.ops.add(0.0, kf.ops.sum(kf.ops.stack([kf.ops.sum(x) for x in floats])))

        for g in kf.tree.leaves(kf.grad(total)(layer.trees["params"])):
            self.assertTrue(np.isfinite(self.convert_to_numpy(g)).all())


def _drawn(shape, dtype):
    """Arrays of a shape, or of a structure of shapes, as Keras's own helper draws them."""
    if isinstance(shape, dict):
        return {
            k.removesuffix("_shape"): _drawn(s, dtype[k] if isinstance(dtype, dict) else dtype)
            for k, s in shape.items()
        }
    if not arrays.is_shape(shape):
        dtypes = dtype if isinstance(dtype, list | tuple) else [dtype] * len(shape)
        return type(shape)([_drawn(s, d) for s, d in zip(shape, dtypes, strict=True)])
    rng = np.random.default_rng(0)
    dtype = dtype or "float32"
    sizes = [2 if n is None else n for n in shape]
    x = rng.standard_normal(sizes) if "float" in dtype else rng.integers(0, 2, sizes)
    return arrays.tensor(x.astype(np.float32 if "float" in dtype else np.int64), dtype)
