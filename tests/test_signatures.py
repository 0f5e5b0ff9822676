"""What editors are told: every public function of arrays has a type for each parameter and for its result, and the
signature that Python shows is that of the function as written, decorators or not."""

from __future__ import annotations

import functools
import inspect
import typing

import pytest

import kfunc as kf
from kfunc.ops import Op

TRANSFORMS = tuple(kf.transforms.__all__)
PLACES = {
    "ops": (kf.ops, dir(kf.ops)),
    "ops.nn": (kf.ops.nn, dir(kf.ops.nn)),
    "ops.image": (kf.ops.image, dir(kf.ops.image)),
    "random": (kf.random, kf.random.__all__),
    "tree": (kf.tree, kf.tree.__all__),
    "kfunc": (kf, TRANSFORMS),
}
FUNCTIONS = {
    f"{place}.{name}": getattr(module, name)
    for place, (module, names) in PLACES.items()
    for name in names
    if not name.startswith("_") and callable(getattr(module, name)) and not inspect.isclass(getattr(module, name))
}


def untyped(fun):
    """The parameters of `fun` without a type, and "return" if its result has none."""
    signature = inspect.signature(fun)
    found = [name for name, p in signature.parameters.items() if p.annotation is p.empty]
    return found + ["return"] * (signature.return_annotation is signature.empty)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_and_result_has_a_type(name):
    fun = FUNCTIONS[name]
    assert untyped(fun) == []
    typing.get_type_hints(fun.reference if isinstance(fun, Op) else inspect.unwrap(fun))  # their names exist


def test_the_check_finds():
    assert untyped(lambda x: x) == ["x", "return"]


@pytest.mark.parametrize(
    ("fun", "signature"),
    [
        (kf.ops.relu, "(x: 'Array') -> 'Array'"),
        (kf.ops.softmax, "(x: 'Array', axis: 'int | Sequence[int] | None' = -1) -> 'Array'"),
        (kf.ops.concatenate, "(xs: 'Sequence[Array] | Array', axis: 'int | None' = 0) -> 'Array'"),  # op(nested=True)
        (kf.ops.mean, "(x: 'Array', axis: 'int | Sequence[int] | None' = None, keepdims: 'bool' = False) -> 'Array'"),
        (kf.random.split, "(key: 'Array', num: 'int | Sequence[int]' = 2) -> 'Array'"),
    ],
    ids=["op", "op with options", "nested op", "op in single precision", "door"],
)
def test_decorators_keep_the_signature(fun, signature):
    assert str(inspect.signature(fun)) == signature


@pytest.mark.parametrize(
    "transform", [kf.jit, kf.grad, kf.value_and_grad, kf.vmap, kf.checkpoint], ids=lambda t: t.__name__
)
def test_transforms_keep_the_name_and_the_signature(transform):
    def loss(w: float, x: float) -> float:
        return w * x

    out = transform(loss)
    assert out.__name__ == "loss"
    assert list(inspect.signature(out).parameters) == ["w", "x"]


# -- Keras's order ----------------------------------------------------------------------------------------------------

REST = (
    "clipnorm clipvalue global_clipnorm use_ema ema_momentum ema_overwrite_frequency loss_scale_factor "
    "gradient_accumulation_steps name"
)
"""The last arguments of every optimizer; `...` below stands for `weight_decay` and these."""

POSITIONS: dict[str, dict[str, str]] = {
    "losses": {
        "BinaryCrossentropy CategoricalCrossentropy": ("from_logits label_smoothing axis reduction name dtype"),
        "BinaryFocalCrossentropy": (
            "apply_class_balancing alpha gamma from_logits label_smoothing axis reduction name dtype"
        ),
        (
            "CTC CategoricalHinge Hinge KLDivergence LogCosh MeanAbsoluteError "
            "MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson "
            "SquaredHinge"
        ): "reduction name dtype",
        "CategoricalFocalCrossentropy": ("alpha gamma from_logits label_smoothing axis reduction name dtype"),
        "CategoricalGeneralizedCrossEntropy": "q reduction name dtype",
        "Circle": "gamma margin remove_diagonal reduction name dtype",
        "CosineSimilarity": "axis reduction name dtype",
        "Dice": "reduction name axis dtype",
        "Huber": "delta reduction name dtype",
        "Loss": "name reduction dtype",
        "SparseCategoricalCrossentropy": "from_logits ignore_class reduction axis name dtype",
        "Tversky": "alpha beta reduction name axis dtype",
    },
    "metrics": {
        "AUC": (
            "num_thresholds curve summation_method name dtype thresholds multi_label num_labels "
            "label_weights from_logits"
        ),
        (
            "Accuracy CategoricalAccuracy CategoricalHinge Hinge KLDivergence LogCoshError Mean "
            "MeanAbsoluteError MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError "
            "Poisson RootMeanSquaredError SparseCategoricalAccuracy SquaredHinge Sum"
        ): "name dtype",
        "BinaryAccuracy": "name dtype threshold",
        "BinaryCrossentropy": "name dtype from_logits label_smoothing",
        "BinaryIoU": "target_class_ids threshold name dtype",
        "CategoricalCrossentropy": "name dtype from_logits label_smoothing axis",
        "ConcordanceCorrelation CosineSimilarity PearsonCorrelation": "name dtype axis",
        "F1Score": "average threshold name dtype",
        "FBetaScore": "average beta threshold name dtype",
        "FalseNegatives FalsePositives TrueNegatives TruePositives": "thresholds name dtype",
        "IoU": "num_classes target_class_ids name dtype ignore_class sparse_y_true sparse_y_pred axis",
        "MeanIoU": "num_classes name dtype ignore_class sparse_y_true sparse_y_pred axis",
        "MeanMetricWrapper": "fn name dtype",
        "Metric": "dtype name",
        "OneHotIoU": "num_classes target_class_ids name dtype ignore_class sparse_y_pred axis",
        "OneHotMeanIoU": "num_classes name dtype ignore_class sparse_y_pred axis",
        "Precision Recall": "thresholds top_k class_id name dtype",
        "PrecisionAtRecall": "recall num_thresholds class_id name dtype",
        "R2Score": "class_aggregation num_regressors name dtype",
        "RecallAtPrecision": "precision num_thresholds class_id name dtype",
        "SensitivityAtSpecificity": "specificity num_thresholds class_id name dtype",
        "SparseCategoricalCrossentropy": "name dtype from_logits ignore_class axis",
        "SparseTopKCategoricalAccuracy": "k name dtype from_sorted_ids",
        "SpecificityAtSensitivity": "sensitivity num_thresholds class_id name dtype",
        "TopKCategoricalAccuracy": "k name dtype",
    },
    "optim": {
        "Adadelta": "learning_rate rho epsilon ...",
        "Adafactor": "learning_rate beta_2_decay epsilon_1 epsilon_2 clip_threshold relative_step ...",
        "Adagrad": "learning_rate initial_accumulator_value epsilon ...",
        "Adam": "learning_rate beta_1 beta_2 epsilon amsgrad ...",
        "AdamW": "learning_rate weight_decay beta_1 beta_2 epsilon amsgrad " + REST,
        "Adamax Lamb Nadam": "learning_rate beta_1 beta_2 epsilon ...",
        "Ftrl": (
            "learning_rate learning_rate_power initial_accumulator_value l1_regularization_strength "
            "l2_regularization_strength l2_shrinkage_regularization_strength beta ..."
        ),
        "Lion": "learning_rate beta_1 beta_2 ...",
        "Muon": (
            "learning_rate adam_beta_1 adam_beta_2 adam_weight_decay epsilon ... exclude_layers "
            "exclude_embeddings muon_a muon_b muon_c adam_lr_ratio momentum ns_steps nesterov rms_rate"
        ),
        "Optimizer": "learning_rate ...",
        "OptimizerMap": "default_optimizer optimizer_map",
        "RMSprop": "learning_rate rho momentum epsilon centered ...",
        "SGD": "learning_rate momentum nesterov ...",
        "ScheduleFreeAdamW": "learning_rate beta_1 beta_2 epsilon warmup_steps ...",
    },
    "nn.regularizers": {
        "L1 l1": "l1",
        "L1L2 l1_l2": "l1 l2",
        "L2 l2": "l2",
        "OrthogonalRegularizer orthogonal_regularizer": "factor mode",
    },
    "nn.constraints": {
        "MaxNorm max_norm": "max_value axis",
        "MinMaxNorm min_max_norm": "min_value max_value rate axis",
        "NonNeg non_neg": "",
        "UnitNorm unit_norm": "axis",
    },
    "nn.initializers": {
        "Constant constant": "value",
        (
            "GlorotNormal GlorotUniform HeNormal HeUniform LecunNormal LecunUniform glorot_normal "
            "glorot_uniform he_normal he_uniform lecun_normal lecun_uniform"
        ): "seed input_axes output_axes",
        "Identity IdentityInitializer identity": "gain",
        "Ones Zeros ones zeros": "",
        "Orthogonal OrthogonalInitializer orthogonal": "gain seed",
        "RandomNormal TruncatedNormal random_normal truncated_normal": "mean stddev seed",
        "RandomUniform random_uniform": "minval maxval seed",
        "STFT STFTInitializer stft": "side window scaling periodic",
        "VarianceScaling variance_scaling": "scale mode distribution seed input_axes output_axes",
    },
}
"""The arguments that the classes of Keras 3.15.1 take by position, in their order (`inspect.signature`)."""

OURS = {"num_outputs", "exclude_from_weight_decay"}
"""Arguments that Keras does not have, which come after all of Keras's."""

ORDERS = {
    f"{module}.{name}": order.replace("...", f"weight_decay {REST}").split()
    for module, classes in POSITIONS.items()
    for names, order in classes.items()
    for name in names.split()
}


def public(name):
    return functools.reduce(getattr, name.split("."), kf)


@pytest.mark.parametrize("name", ORDERS)
def test_arguments_have_the_positions_that_they_have_in_keras(name):
    parameters = inspect.signature(public(name)).parameters.values()
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    wanted = ORDERS[name]
    assert positional[: len(wanted)] == wanted
    assert set(positional[len(wanted) :]) <= OURS


def test_every_loss_metric_and_optimizer_has_an_order():
    bases = {"losses": kf.losses.Loss, "metrics": kf.metrics.Metric, "optim": kf.optim.Optimizer}
    classes = [
        f"{module}.{name}"
        for module, base in bases.items()
        for name, found in vars(getattr(kf, module)).items()
        if inspect.isclass(found) and issubclass(found, base) and name == found.__name__
    ]
    not_in_keras = {"losses.FunctionLoss", "metrics.MeanMetric", "metrics.OfValues"}
    assert set(classes) - set(ORDERS) == not_in_keras


@pytest.mark.parametrize(
    ("made", "same"),
    [
        (lambda: kf.losses.MeanSquaredError("sum", "m"), lambda: kf.losses.MeanSquaredError(reduction="sum", name="m")),
        (lambda: kf.losses.Dice("sum", "d", 1), lambda: kf.losses.Dice(reduction="sum", name="d", axis=1)),
        (lambda: kf.losses.Tversky(0.3, 0.7, "sum"), lambda: kf.losses.Tversky(alpha=0.3, beta=0.7, reduction="sum")),
        (lambda: kf.metrics.Accuracy("acc"), lambda: kf.metrics.Accuracy(name="acc")),
        (lambda: kf.metrics.BinaryAccuracy("a", None, 0.3), lambda: kf.metrics.BinaryAccuracy(name="a", threshold=0.3)),
        (lambda: kf.metrics.IoU(3, [0], "iou", "float64"), lambda: kf.metrics.IoU(3, [0], name="iou", dtype="float64")),
        (
            lambda: kf.nn.Dense(3, None, True, "ones", "zeros", None, None, "l2", "non_neg"),
            lambda: kf.nn.Dense(3, kernel_initializer="ones", activity_regularizer="l2", kernel_constraint="non_neg"),
        ),
        (
            lambda: kf.nn.SpatialDropout1D(0.5, 3, "drop", "float16"),
            lambda: kf.nn.SpatialDropout1D(0.5, seed=3, name="drop", dtype="float16"),
        ),
    ],
)
def test_positional_arguments_are_those_by_name(made, same):
    made, same = made(), same()
    assert type(made) is type(same)
    assert kf.dataclasses.arguments(made) == kf.dataclasses.arguments(same)


@pytest.mark.parametrize(
    "wrong",
    [lambda: kf.metrics.BinaryAccuracy(0.3), lambda: kf.losses.MeanSquaredError("sum", 3)],
    ids=["metric", "loss"],
)
def test_a_name_that_is_no_string(wrong):
    with pytest.raises(kf.errors.ArgumentError, match="`name` must be a string"):
        wrong()
