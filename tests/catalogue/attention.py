"""Attention.

Where no source may be seen, Keras gives what its path happens to give (a mean, zeros, or what there was without masks),
and ours is the mean: no row here has such a target. What else Keras does by accident has no row, and is tested in
`test_decoding`: its heads pay no heed to a `query_mask` that is passed by hand or do not hand it on, scores that were
masked hand on that mask, and GroupQueryAttention counts the activity of the output twice.
"""

import numpy as np
from keras_rows import normal

from catalogue import New, layer

Q, V, K = normal(2, 4, 6), normal(2, 5, 6), normal(2, 5, 6, salt=1)
SEEN = np.arange(40).reshape(2, 4, 5) % 3 > 0
QUERY_MASK = np.array([[True, True, False, True], [True, False, True, True]])
VALUE_MASK = np.array([[True, False, True, True, False], [True, True, True, False, True]])
KEY_MASK = np.array([[True, True, True, False, True], [True, True, False, True, True]])
IMAGE, OTHER = normal(2, 2, 3, 4), normal(2, 2, 4, 4)
AREA = np.arange(2 * 6 * 8).reshape(2, 2, 3, 2, 4) % 3 > 0
CAUSAL, SCORES = {"use_causal_mask": True}, {"return_attention_scores": True}
SET = {
    "kernel_regularizer": "l2",
    "bias_regularizer": New("regularizers.L1", 0.1),
    "kernel_constraint": "non_neg",
    "bias_constraint": New("constraints.MaxNorm", 1.0),
}
DRAWN = {"kernel_initializer": "he_normal", "bias_initializer": "ones"}

# The sums are those of a gradient: over projections (6), scores, values, and positions of the whole batch.
ROWS = [
    layer(New("Attention"), [Q, V], n=30),
    layer(
        New("Attention", True, dropout=0.5, seed=3),
        [Q, V, K],
        options={"mask": [QUERY_MASK, VALUE_MASK], **CAUSAL, **SCORES},
        n=40,
        note="masks",
    ),
    layer(New("Attention", score_mode="concat"), [Q, V, K], n=60, note="concat"),
    layer(
        New("Attention", use_scale=True, score_mode="concat"),
        [Q, V],
        options={"mask": [None, VALUE_MASK]},
        n=60,
        note="concat scale",
    ),
    layer(New("AdditiveAttention"), [Q, V, K], n=60),
    layer(
        New("AdditiveAttention", use_scale=False, dropout=0.5),
        [Q, V],
        options={"mask": [QUERY_MASK, VALUE_MASK], **SCORES},
        n=60,
        note="masks",
    ),
    # More axes before time: each index of them is a sequence of its own.
    layer(New("Attention", True), [normal(2, 3, 4, 6), normal(2, 3, 5, 6)], options=CAUSAL, n=30, note="images"),
    layer(New("AdditiveAttention"), [normal(2, 3, 4, 6), normal(2, 3, 5, 6)], n=60, note="images"),
    layer(New("MultiHeadAttention", 2, 3), Q, V, n=60),
    layer(New("MultiHeadAttention", 2, 3, sliding_window=2), V, V, options=CAUSAL, n=60, note="window"),
    layer(
        New("MultiHeadAttention", 2, 3, 4, 0.5, False, flash_attention=False, seed=1, activity_regularizer="l2"),
        *(Q, V, K),
        options={"attention_mask": SEEN, "value_mask": VALUE_MASK, "key_mask": KEY_MASK},
        n=100,
        note="masks",
    ),
    layer(
        New("MultiHeadAttention", 2, 3, output_shape=(2, 3), use_gate=True, **SET, **DRAWN),
        *(V, V),
        options=SCORES,
        n=100,
        note="scores",
    ),
    layer(New("MultiHeadAttention", 2, 3), IMAGE, OTHER, options={"attention_mask": AREA}, n=100, note="areas"),
    layer(
        New("MultiHeadAttention", 2, 3, output_shape=5, attention_axes=(2, 1)),
        *(IMAGE, OTHER),
        options=SCORES,
        n=100,
        note="axes",
    ),
    layer(
        New("MultiHeadAttention", 2, 3, attention_axes=-2),
        *(IMAGE, OTHER),
        options={"attention_mask": AREA[:, :, :, 0]},
        n=60,
        note="rows",
    ),
    layer(New("GroupQueryAttention", 3, 4, 2), Q, V, K, options=SCORES, n=100),
    layer(
        New("GroupQueryAttention", 3, 4, 2, 0.5, False, 3, False, seed=1, **DRAWN),
        *(V, V),
        options=CAUSAL,
        n=100,
        note="window",
    ),
    layer(
        New("GroupQueryAttention", 3, 4, 1, use_gate=True, **SET),
        *(Q, V),
        options={"value_mask": VALUE_MASK, "key_mask": KEY_MASK, "attention_mask": SEEN},
        n=100,
        note="masks",
    ),
]
