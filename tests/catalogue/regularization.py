"""Dropout and noise where they do nothing; what they do in training is in `test_noise`, since the numbers differ."""

from keras_rows import normal

from catalogue import New, layer

IMAGES, VOLUMES = normal(2, 2, 3, 2), normal(2, 2, 1, 3, 2)

ROWS = [
    layer(New("Dropout", 0.5), normal(3, 2)),
    layer(New("Dropout", 0.0, noise_shape=(None, 1), seed=3), normal(3, 2), train=True, note="rate 0"),
    layer(New("SpatialDropout1D", 0.5, seed=3), normal(2, 3, 2)),
    layer(New("SpatialDropout2D", 0.5), IMAGES),
    layer(New("SpatialDropout2D", 0.0, data_format="channels_first", seed=3), IMAGES, train=True, note="rate 0"),
    layer(New("SpatialDropout3D", 0.5), VOLUMES),
    layer(New("SpatialDropout3D", 0.0, data_format="channels_first", seed=3), VOLUMES, train=True, note="rate 0"),
    layer(New("AlphaDropout", 0.5), normal(3, 2)),
    layer(New("AlphaDropout", 0.0, noise_shape=(None, 1), seed=3), normal(3, 2), train=True, note="rate 0"),
    layer(New("GaussianDropout", 0.5), normal(3, 2)),
    layer(New("GaussianDropout", 0.0, seed=3), normal(3, 2), train=True, note="rate 0"),
    layer(New("GaussianNoise", 0.5), normal(3, 2)),
    layer(New("GaussianNoise", 0.0, seed=3), normal(3, 2), train=True, note="stddev 0"),
    layer(New("ActivityRegularization", 0.1, 0.2), normal(4, 3), n=24),
    layer(New("ActivityRegularization"), normal(4, 3), note="nothing"),
]
