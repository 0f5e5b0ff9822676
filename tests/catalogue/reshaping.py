"""Layers that move, repeat, cut or frame what comes in."""

from keras_rows import integers, normal

from catalogue import New, layer

SEQUENCE, IMAGE, VOLUME = normal(2, 5, 3), normal(2, 5, 4, 3), normal(2, 4, 5, 3, 2)
FIRST = "channels_first"

ROWS = [
    layer(New("Flatten"), SEQUENCE),
    layer(New("Flatten", data_format=FIRST), IMAGE, note="channels first"),
    layer(New("Flatten"), normal(3), note="batch only"),
    layer(New("Reshape", (3, 5)), SEQUENCE),
    layer(New("Reshape", (5, -1, 2)), IMAGE, note="-1"),
    layer(New("Reshape", ()), normal(3, 1), note="empty"),
    layer(New("Permute", (2, 1)), SEQUENCE),
    layer(New("Permute", (3, 1, 2)), IMAGE, note="three"),
    layer(New("RepeatVector", 3), normal(2, 4), n=3),
    layer(New("Cropping1D"), SEQUENCE),
    layer(New("Cropping1D", (0, 2)), SEQUENCE, note="sides"),
    layer(New("Cropping2D", ((1, 0), (0, 2))), IMAGE),
    layer(New("Cropping2D", (2, 1)), IMAGE, note="axes"),
    layer(New("Cropping2D", 1, data_format=FIRST), IMAGE, note="channels first"),
    layer(New("Cropping3D"), VOLUME),
    layer(New("Cropping3D", ((1, 0), (0, 0), (0, 1)), data_format=FIRST), VOLUME, note="channels first"),
    layer(New("ZeroPadding1D"), SEQUENCE),
    layer(New("ZeroPadding1D", (0, 2), data_format=FIRST), SEQUENCE, note="channels first"),
    layer(New("ZeroPadding2D", ((1, 0), (0, 2))), IMAGE),
    layer(New("ZeroPadding2D", (2, 1)), integers(0, 9, 2, 5, 4, 3), note="integers"),
    layer(New("ZeroPadding2D", 1, data_format=FIRST), IMAGE, note="channels first"),
    layer(New("ZeroPadding3D", (0, 1, 2)), VOLUME),
    layer(New("ZeroPadding3D", data_format=FIRST), VOLUME, note="channels first"),
    layer(New("UpSampling1D", 3), SEQUENCE, n=3),
    layer(New("UpSampling2D"), IMAGE, n=4),
    layer(New("UpSampling2D", (1, 3), data_format=FIRST), IMAGE, n=3, note="channels first"),
    # A number of the input is in as many of the output as the filter is wide, times the factor, along both axes.
    layer(New("UpSampling2D", interpolation="bilinear"), IMAGE, n=16, note="bilinear"),
    layer(New("UpSampling2D", (2, 1), FIRST, "bicubic"), IMAGE, n=8, note="bicubic"),
    layer(New("UpSampling2D", 2, interpolation="lanczos3"), IMAGE, n=144, note="lanczos3"),
    layer(New("UpSampling2D", 2, interpolation="lanczos5"), IMAGE, n=400, note="lanczos5"),
    layer(New("UpSampling3D"), VOLUME, n=8),
    layer(New("UpSampling3D", (1, 2, 3), data_format=FIRST), VOLUME, n=6, note="channels first"),
]
