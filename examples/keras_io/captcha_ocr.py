"""Digits in a picture by a CNN, LSTMs and CTC, after https://keras.io/examples/vision/captcha_ocr/

The published one numbers characters by StringLookup, which is not here yet.
"""

import numpy as np
from data import captchas, where

from kfunc import keras
from kfunc.keras import layers, ops

images, labels = captchas()
characters = sorted({char for label in labels for char in label})
print("Number of images found: ", len(images))
print("Characters present: ", characters)

batch_size = 16
img_height, img_width = images.shape[1:3]
downsample_factor = 2  # of the width
max_length = max(len(label) for label in labels)

# 0 is CTC's blank, so that characters are numbered from 1 on.
char_to_num = {char: i for i, char in enumerate(characters, 1)}
num_to_char = {i: char for char, i in char_to_num.items()}

x = np.transpose(images, (0, 2, 1, 3))  # time is the width
y = np.array([[char_to_num[char] for char in label] for label in labels], dtype="int32")
train_samples = int(len(x) * 0.9)
x_train, y_train = x[:train_samples], y[:train_samples]
x_valid, y_valid = x[train_samples:], y[train_samples:]


class CTCLayer(layers.Layer):
    """Add CTC's loss, and return the predictions."""

    def call(self, y_true, y_pred):
        batch_len = ops.shape(y_true)[0]
        input_length = ops.shape(y_pred)[1] * ops.ones((batch_len,), dtype="int32")
        label_length = ops.shape(y_true)[1] * ops.ones((batch_len,), dtype="int32")
        loss = ops.ctc_loss(y_true, y_pred, label_length, input_length)
        self.add_loss(ops.mean(loss))
        return y_pred


def build_model():
    input_img = layers.Input(shape=(img_width, img_height, 1), name="image", dtype="float32")
    labels = layers.Input(name="label", shape=(max_length,), dtype="int32")

    x = layers.Conv2D(8, (3, 3), activation="relu", kernel_initializer="he_normal", padding="same", name="Conv1")(
        input_img
    )
    x = layers.MaxPooling2D((2, 2), name="pool1")(x)

    new_shape = (img_width // 2, (img_height // 2) * 8)
    x = layers.Reshape(target_shape=new_shape, name="reshape")(x)
    x = layers.Dense(16, activation="relu", name="dense1")(x)
    x = layers.Dropout(0.2)(x)

    x = layers.Bidirectional(layers.LSTM(16, return_sequences=True, dropout=0.25))(x)
    x = layers.Dense(len(characters) + 1, name="dense2")(x)

    output = CTCLayer(name="ctc_loss")(labels, x)

    model = keras.models.Model(inputs=[input_img, labels], outputs=output, name="ocr_model_v1")
    opt = keras.optimizers.Adam(learning_rate=0.01)
    model.compile(optimizer=opt)
    return model


model = build_model()
model.summary()

early_stopping = keras.callbacks.EarlyStopping(monitor="val_loss", patience=10, restore_best_weights=True)
history = model.fit(
    {"image": x_train, "label": y_train},
    validation_data=({"image": x_valid, "label": y_valid},),
    batch_size=batch_size,
    epochs=3,
    callbacks=[early_stopping],
    **where,
)

prediction_model = keras.models.Model(model.input[0], model.get_layer(name="dense2").output)
prediction_model.summary()


def decode_batch_predictions(pred):
    input_len = np.ones(pred.shape[0], dtype="int32") * pred.shape[1]
    results = ops.ctc_decode(pred, sequence_lengths=input_len, strategy="greedy")[0][0]
    return ["".join(num_to_char.get(int(n), "") for n in res) for res in results[:, :max_length]]


pred_texts = decode_batch_predictions(prediction_model.predict(x_valid))
for pred_text, label in zip(pred_texts[:4], labels[train_samples:], strict=False):
    print("Prediction:", pred_text, "Label:", label)
