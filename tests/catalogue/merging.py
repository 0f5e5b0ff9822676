"""Layers that make one array of several. Masks, which Keras hangs on arrays, are in `test_merging.py`."""

from keras_rows import normal

from catalogue import New, layer

A, B, C = (normal(2, 3, 4, salt=i) for i in range(3))

ROWS = [
    layer(New("Add"), [A, B, C], n=3),
    layer(New("Add"), [A, normal(2, 4)], n=3, note="ranks"),
    layer(New("Add"), [A, normal(2, 1, 4), normal(2, 3, 1)], n=4, note="ones"),
    layer(New("Subtract"), [A, B], n=2),
    layer(New("Subtract"), [normal(2, 4), A], n=3, note="ranks"),
    layer(New("Multiply"), [A, B, C], n=3),
    layer(New("Average"), [A, B, C], n=4),
    layer(New("Average"), [A, normal(2, 1, 1)], n=12, note="ones"),
    layer(New("Maximum"), [A, B, C]),
    layer(New("Maximum"), [A, normal(2, 4)], n=3, note="ranks"),
    layer(New("Minimum"), [A, B, C]),
    layer(New("Concatenate"), [A, normal(2, 3, 2)]),
    layer(New("Concatenate", axis=1), [A, normal(2, 1, 4), B], note="axis"),
    # Products of three: `x * (y * z)` rounds twice, the gradients too.
    layer(New("Dot", -1), [normal(2, 5), normal(2, 5, salt=1)], n=5),
    layer(New("Dot", (1, 2)), [normal(2, 3, 5), normal(2, 4, 3)], n=5, note="axes"),
    layer(New("Dot", (-1, 1), normalize=True), [A, normal(2, 4)], n=12, note="normalize"),
    layer(New("Dot", 2), [normal(2, 3, 5, 2), normal(2, 4, 5)], n=10, note="rank 4"),
]
