"""Speakers by the frequencies of their voices, after https://keras.io/examples/audio/speaker_recognition_using_cnn/

The published one prepares the sounds in a tf.data pipeline, which fit takes here, too; these are arrays.
"""

import os
import tempfile

import numpy as np
from data import voices, where

from kfunc import keras

VALID_SPLIT = 0.2
SCALE = 0.5  # how loud the noise is
BATCH_SIZE = 32
EPOCHS = 4

audio, labels, noises = voices()
class_names = ["Ada", "Ben", "Cem", "Dora"]
rng = np.random.default_rng(0)


def add_noise(audio, noises=None, scale=0.5):
    if noises is not None:
        noise = noises[rng.integers(0, len(noises), len(audio))]
        prop = np.max(audio, axis=1, keepdims=True) / np.max(noise, axis=1, keepdims=True)
        audio = audio + noise * prop * scale
    return audio


def audio_to_fft(audio):
    audio = np.squeeze(audio, axis=-1)
    real, imag = keras.ops.fft((audio, np.zeros_like(audio)))
    fft = np.sqrt(np.asarray(real) ** 2 + np.asarray(imag) ** 2)
    return np.expand_dims(fft[:, : audio.shape[1] // 2], axis=-1)


num_val_samples = int(VALID_SPLIT * len(audio))
x_train, y_train = audio_to_fft(add_noise(audio[:-num_val_samples], noises, SCALE)), labels[:-num_val_samples]
x_valid, y_valid = audio_to_fft(audio[-num_val_samples:]), labels[-num_val_samples:]


def residual_block(x, filters, conv_num=3, activation="relu"):
    s = keras.layers.Conv1D(filters, 1, padding="same")(x)
    for _ in range(conv_num - 1):
        x = keras.layers.Conv1D(filters, 3, padding="same")(x)
        x = keras.layers.Activation(activation)(x)
    x = keras.layers.Conv1D(filters, 3, padding="same")(x)
    x = keras.layers.Add()([x, s])
    x = keras.layers.Activation(activation)(x)
    return keras.layers.MaxPool1D(pool_size=2, strides=2)(x)


def build_model(input_shape, num_classes):
    inputs = keras.layers.Input(shape=input_shape, name="input")

    x = residual_block(inputs, 4, 2)
    x = residual_block(x, 8, 2)
    x = residual_block(x, 8, 3)

    x = keras.layers.AveragePooling1D(pool_size=3, strides=3)(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(32, activation="relu")(x)

    outputs = keras.layers.Dense(num_classes, activation="softmax", name="output")(x)

    return keras.models.Model(inputs=inputs, outputs=outputs)


model = build_model(x_train.shape[1:], len(class_names))
model.summary()
model.compile(optimizer="Adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

# Keras:
# model_save_filename = os.path.join(tempfile.mkdtemp(), "model.keras")
# kfunc: files are safetensors
model_save_filename = os.path.join(tempfile.mkdtemp(), "model.safetensors")
# end
earlystopping_cb = keras.callbacks.EarlyStopping(patience=10, restore_best_weights=True)
mdlcheckpoint_cb = keras.callbacks.ModelCheckpoint(model_save_filename, monitor="val_accuracy", save_best_only=True)

history = model.fit(
    x_train,
    y_train,
    batch_size=BATCH_SIZE,
    epochs=EPOCHS,
    validation_data=(x_valid, y_valid),
    callbacks=[earlystopping_cb, mdlcheckpoint_cb],
    **where,
)
print(model.evaluate(x_valid, y_valid))

y_pred = np.argmax(model.predict(x_valid), axis=-1)
for index in rng.integers(0, len(x_valid), 5):
    print("Speaker:", class_names[y_valid[index]], "\tPredicted:", class_names[y_pred[index]])
