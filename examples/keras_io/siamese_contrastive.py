"""Image similarity by a siamese network, after https://keras.io/examples/vision/siamese_contrastive/"""

import random

import numpy as np
from data import digits, where

from kfunc import keras
from kfunc.keras import layers, ops

epochs = 4
batch_size = 16
margin = 1

(x_train, y_train), (x_val, y_val) = digits(160, 48)
x_train = np.expand_dims(x_train.astype("float32"), -1)
x_val = np.expand_dims(x_val.astype("float32"), -1)


def make_pairs(x, y):
    """Each image with one of its own class, 0, and with one of another class, 1."""
    draw = random.Random(0)
    of_class = [np.where(y == i)[0] for i in range(max(y) + 1)]
    pairs, labels = [], []
    for image, label in zip(x, y, strict=True):
        other = (label + draw.randint(1, 9)) % 10
        for label2 in (label, other):
            pairs += [[image, x[draw.choice(of_class[label2])]]]
            labels += [int(label2 != label)]
    return np.array(pairs), np.array(labels).astype("float32")


pairs_train, labels_train = make_pairs(x_train, y_train)
pairs_val, labels_val = make_pairs(x_val, y_val)
x_train_1, x_train_2 = pairs_train[:, 0], pairs_train[:, 1]  # (320, 8, 8, 1)
x_val_1, x_val_2 = pairs_val[:, 0], pairs_val[:, 1]


def euclidean_distance(vects):
    x, y = vects
    sum_square = ops.sum(ops.square(x - y), axis=1, keepdims=True)
    return ops.sqrt(ops.maximum(sum_square, keras.backend.epsilon()))


input = keras.layers.Input((8, 8, 1))
x = layers.BatchNormalization()(input)
x = layers.Conv2D(4, (3, 3), activation="tanh")(x)
x = layers.AveragePooling2D(pool_size=(2, 2))(x)
x = layers.Flatten()(x)
x = layers.BatchNormalization()(x)
x = layers.Dense(10, activation="tanh")(x)
embedding_network = keras.Model(input, x)

input_1 = layers.Input((8, 8, 1))
input_2 = layers.Input((8, 8, 1))
tower_1 = embedding_network(input_1)  # both towers share weights
tower_2 = embedding_network(input_2)

merge_layer = layers.Lambda(euclidean_distance, output_shape=(1,))([tower_1, tower_2])
normal_layer = layers.BatchNormalization()(merge_layer)
output_layer = layers.Dense(1, activation="sigmoid", name="distance")(normal_layer)
siamese = keras.Model(inputs=[input_1, input_2], outputs=output_layer)


def loss(margin=1):
    def contrastive_loss(y_true, y_pred):
        square_pred = ops.square(y_pred)
        margin_square = ops.square(ops.maximum(margin - y_pred, 0))
        return ops.mean((1 - y_true) * square_pred + y_true * margin_square)

    return contrastive_loss


siamese.compile(loss=loss(margin=margin), optimizer="RMSprop", metrics=["accuracy"])
siamese.summary()

history = siamese.fit(
    [x_train_1, x_train_2],
    labels_train,
    validation_data=([x_val_1, x_val_2], labels_val),
    batch_size=batch_size,
    epochs=epochs,
    **where,
)

results = siamese.evaluate([x_val_1, x_val_2], labels_val)
print("test loss, test acc:", results)

predictions = siamese.predict([x_val_1, x_val_2])
print("Distances of the first pairs:", predictions[:4, 0], labels_val[:4])
