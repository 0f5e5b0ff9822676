"""Image segmentation with a U-Net, after https://keras.io/examples/vision/oxford_pets_image_segmentation/"""

import numpy as np
from data import folder, shapes, where

from kfunc import keras
from kfunc.keras import layers

img_size = (16, 16)
num_classes = 3
batch_size = 8


class OxfordPets(keras.utils.PyDataset):
    def __init__(self, batch_size, images, trimaps, **kwargs):
        super().__init__(**kwargs)
        self.batch_size = batch_size
        self.images = images
        self.trimaps = trimaps

    def __len__(self):
        return len(self.images) // self.batch_size

    def __getitem__(self, idx):
        rows = slice(idx * self.batch_size, (idx + 1) * self.batch_size)
        x = self.images[rows].astype("float32") / 255
        y = self.trimaps[rows] - 1  # the trimaps have 1, 2 and 3
        return x, y


def get_model(img_size, num_classes):
    inputs = keras.Input(shape=img_size + (3,))

    # Downsampling. No biases before BatchNormalization, which subtracts them: their gradients are rounding errors.
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    previous_block_activation = x  # for the residual

    for filters in [16]:
        x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)

        residual = layers.Conv2D(filters, 1, strides=2, padding="same")(previous_block_activation)
        x = layers.add([x, residual])
        previous_block_activation = x

    # Upsampling.
    for filters in [16, 8]:
        x = layers.Activation("relu")(x)
        x = layers.Conv2DTranspose(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.UpSampling2D(2)(x)

        residual = layers.UpSampling2D(2)(previous_block_activation)
        residual = layers.Conv2D(filters, 1, padding="same")(residual)
        x = layers.add([x, residual])
        previous_block_activation = x

    outputs = layers.Conv2D(num_classes, 3, activation="softmax", padding="same")(x)
    return keras.Model(inputs, outputs)


model = get_model(img_size, num_classes)
model.summary()

images, trimaps, _ = shapes(64)
train_dataset = OxfordPets(batch_size, images[:48], trimaps[:48])
valid_dataset = OxfordPets(batch_size, images[48:], trimaps[48:])

model.compile(optimizer=keras.optimizers.Adam(1e-2), loss="sparse_categorical_crossentropy")
# Keras:
# callbacks = [keras.callbacks.ModelCheckpoint(folder() / "oxford_segmentation.keras", save_best_only=True)]
# kfunc: files are safetensors
callbacks = [keras.callbacks.ModelCheckpoint(folder() / "oxford_segmentation.safetensors", save_best_only=True)]
# end

epochs = 4
history = model.fit(
    train_dataset, epochs=epochs, validation_data=valid_dataset, callbacks=callbacks, verbose=2, **where
)

val_preds = model.predict(valid_dataset)
mask = np.argmax(val_preds, axis=-1)
print("Pixels of the right class:", np.mean(mask == trimaps[48:, ..., 0] - 1))
