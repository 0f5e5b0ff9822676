"""Dense and its kin."""

from keras_rows import integers, normal

from catalogue import New, layer

ROWS = [
    layer(New("Dense", 5), normal(4, 3), n=4),
    layer(New("Dense", 5, activation="relu", use_bias=False), normal(2, 4, 3), n=8, note="relu"),
    layer(New("Embedding", 7, 5), integers(0, 7, 3, 4), n=12),
]
