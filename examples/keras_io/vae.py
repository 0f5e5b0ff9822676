"""Variational autoencoder of handwritten digits, after https://keras.io/examples/generative/vae/

The published one draws pictures of the digits and of their codes.
"""

import numpy as np
from data import digits, where

from kfunc import keras
from kfunc.keras import layers, ops

# Keras:
# import tensorflow as tf
# kfunc: a loss of your own is a function, not a train_step
# end


class Sampling(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        # Keras:
        # self.seed_generator = keras.random.SeedGenerator(1337)
        # kfunc: keys instead of seeds
        # end

    def call(self, inputs):
        z_mean, z_log_var = inputs
        batch = ops.shape(z_mean)[0]
        dim = ops.shape(z_mean)[1]
        # Keras:
        # epsilon = keras.random.normal(shape=(batch, dim), seed=self.seed_generator)
        # kfunc: keys instead of seeds
        epsilon = keras.random.normal(self.scope.key(), shape=(batch, dim))
        # end
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon


latent_dim = 2

encoder_inputs = keras.Input(shape=(8, 8, 1))
x = layers.Conv2D(8, 3, activation="relu", strides=2, padding="same")(encoder_inputs)
x = layers.Conv2D(8, 3, activation="relu", strides=2, padding="same")(x)
x = layers.Flatten()(x)
x = layers.Dense(32, activation="relu")(x)
z_mean = layers.Dense(latent_dim, name="z_mean")(x)
z_log_var = layers.Dense(latent_dim, name="z_log_var")(x)
z = Sampling()([z_mean, z_log_var])
encoder = keras.Model(encoder_inputs, [z_mean, z_log_var, z], name="encoder")
encoder.summary()

latent_inputs = keras.Input(shape=(latent_dim,))
x = layers.Dense(2 * 2 * 8, activation="relu")(latent_inputs)
x = layers.Reshape((2, 2, 8))(x)
x = layers.Conv2DTranspose(8, 3, activation="relu", strides=2, padding="same")(x)
x = layers.Conv2DTranspose(8, 3, activation="relu", strides=2, padding="same")(x)
decoder_outputs = layers.Conv2DTranspose(1, 3, activation="sigmoid", padding="same")(x)
decoder = keras.Model(latent_inputs, decoder_outputs, name="decoder")
decoder.summary()


# Keras:
# class VAE(keras.Model):
#     def __init__(self, encoder, decoder, **kwargs):
#         super().__init__(**kwargs)
#         self.encoder = encoder
#         self.decoder = decoder
#         self.total_loss_tracker = keras.metrics.Mean(name="total_loss")
#         self.reconstruction_loss_tracker = keras.metrics.Mean(name="reconstruction_loss")
#         self.kl_loss_tracker = keras.metrics.Mean(name="kl_loss")
#
#     @property
#     def metrics(self):
#         return [
#             self.total_loss_tracker,
#             self.reconstruction_loss_tracker,
#             self.kl_loss_tracker,
#         ]
#
#     def train_step(self, data):
#         with tf.GradientTape() as tape:
#             z_mean, z_log_var, z = self.encoder(data)
#             reconstruction = self.decoder(z)
#             reconstruction_loss = ops.mean(
#                 ops.sum(keras.losses.binary_crossentropy(data, reconstruction), axis=(1, 2))
#             )
#             kl_loss = -0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var))
#             kl_loss = ops.mean(ops.sum(kl_loss, axis=1))
#             total_loss = reconstruction_loss + kl_loss
#         grads = tape.gradient(total_loss, self.trainable_weights)
#         self.optimizer.apply_gradients(zip(grads, self.trainable_weights))
#         self.total_loss_tracker.update_state(total_loss)
#         self.reconstruction_loss_tracker.update_state(reconstruction_loss)
#         self.kl_loss_tracker.update_state(kl_loss)
#         return {
#             "loss": self.total_loss_tracker.result(),
#             "reconstruction_loss": self.reconstruction_loss_tracker.result(),
#             "kl_loss": self.kl_loss_tracker.result(),
#         }
# kfunc: a loss of your own is a function, not a train_step
def objective(params, state, batch, key, train):
    data = batch.x
    (z_mean, z_log_var, z), _ = encoder.net.apply(params["encoder"], data, key=key, train=train)
    reconstruction, _ = decoder.net.apply(params["decoder"], z)
    reconstruction_loss = ops.mean(ops.sum(keras.losses.binary_crossentropy(data, reconstruction), axis=(1, 2)))
    kl_loss = -0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var))
    kl_loss = ops.mean(ops.sum(kl_loss, axis=1))
    total_loss = reconstruction_loss + kl_loss
    return total_loss, (state, {"reconstruction_loss": reconstruction_loss, "kl_loss": kl_loss})
    # end


(x_train, y_train), (x_test, _) = digits(n_train=320, n_test=64)
mnist_digits = np.concatenate([x_train, x_test], axis=0)
mnist_digits = np.expand_dims(mnist_digits, -1).astype("float32") / 16

# Keras:
# vae = VAE(encoder, decoder)
# kfunc: a model is made of a layer
vae = keras.Model(encoder_inputs, decoder(encoder(encoder_inputs)[2]), objective=objective)
# end
vae.compile(optimizer=keras.optimizers.Adam(learning_rate=5e-3))
history = vae.fit(mnist_digits, epochs=4, batch_size=64, **where)

for xi in np.linspace(-1.0, 1.0, 3):
    # Keras:
    # x_decoded = vae.decoder.predict(np.array([[xi, 0.0]]), verbose=0)
    # kfunc: a model is made of a layer
    x_decoded = decoder.predict(np.array([[xi, 0.0]]), verbose=0)
    # end
    print(np.round(x_decoded[0, :, :, 0], 1))

# Keras:
# z_mean, _, _ = vae.encoder.predict(mnist_digits[: len(y_train)], verbose=0)
# kfunc: a model is made of a layer
z_mean, _, _ = encoder.predict(mnist_digits[: len(y_train)], verbose=0)
# end
print("where the digits lie:", [z_mean[y_train == digit].mean(axis=0).round(1).tolist() for digit in range(10)])
