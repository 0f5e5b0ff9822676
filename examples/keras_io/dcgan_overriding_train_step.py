"""A GAN with a `train_step` of its own, after https://keras.io/examples/generative/dcgan_overriding_train_step/

The published one makes faces, and saves them as pictures.
"""

import numpy as np
from data import digits, where

import kfunc as kf
from kfunc import keras
from kfunc.keras import layers, ops

# Keras:
# import tensorflow as tf
# kfunc: what a batch changes is returned by a function, not set by a train_step
# end

(x_train, _), _ = digits(n_train=256)
dataset = np.expand_dims(x_train, -1).astype("float32") / 16

discriminator = keras.Sequential(
    [
        keras.Input(shape=(8, 8, 1)),
        layers.Conv2D(8, kernel_size=4, strides=2, padding="same"),
        layers.LeakyReLU(negative_slope=0.2),
        layers.Conv2D(16, kernel_size=4, strides=2, padding="same"),
        layers.LeakyReLU(negative_slope=0.2),
        layers.Flatten(),
        layers.Dropout(0.2),
        layers.Dense(1, activation="sigmoid"),
    ],
    name="discriminator",
)
discriminator.summary()

latent_dim = 16

generator = keras.Sequential(
    [
        keras.Input(shape=(latent_dim,)),
        layers.Dense(2 * 2 * 8),
        layers.Reshape((2, 2, 8)),
        layers.Conv2DTranspose(8, kernel_size=4, strides=2, padding="same"),
        layers.LeakyReLU(negative_slope=0.2),
        layers.Conv2DTranspose(16, kernel_size=4, strides=2, padding="same"),
        layers.LeakyReLU(negative_slope=0.2),
        layers.Conv2D(1, kernel_size=3, padding="same", activation="sigmoid"),
    ],
    name="generator",
)
generator.summary()


# Keras:
# class GAN(keras.Model):
#     def __init__(self, discriminator, generator, latent_dim):
#         super().__init__()
#         self.discriminator = discriminator
#         self.generator = generator
#         self.latent_dim = latent_dim
#         self.seed_generator = keras.random.SeedGenerator(1337)
#
#     def compile(self, d_optimizer, g_optimizer, loss_fn):
#         super().compile()
#         self.d_optimizer = d_optimizer
#         self.g_optimizer = g_optimizer
#         self.loss_fn = loss_fn
#         self.d_loss_metric = keras.metrics.Mean(name="d_loss")
#         self.g_loss_metric = keras.metrics.Mean(name="g_loss")
#
#     @property
#     def metrics(self):
#         return [self.d_loss_metric, self.g_loss_metric]
#
#     def train_step(self, real_images):
#         batch_size = ops.shape(real_images)[0]
#         random_latent_vectors = keras.random.normal(shape=(batch_size, self.latent_dim), seed=self.seed_generator)
#         generated_images = self.generator(random_latent_vectors)
#         combined_images = ops.concatenate([generated_images, real_images], axis=0)
#         labels = ops.concatenate([ops.ones((batch_size, 1)), ops.zeros((batch_size, 1))], axis=0)
#         labels += 0.05 * keras.random.uniform(ops.shape(labels), seed=self.seed_generator)
#         with tf.GradientTape() as tape:
#             predictions = self.discriminator(combined_images)
#             d_loss = self.loss_fn(labels, predictions)
#         grads = tape.gradient(d_loss, self.discriminator.trainable_weights)
#         self.d_optimizer.apply_gradients(zip(grads, self.discriminator.trainable_weights))
#         random_latent_vectors = keras.random.normal(shape=(batch_size, self.latent_dim), seed=self.seed_generator)
#         misleading_labels = ops.zeros((batch_size, 1))
#         with tf.GradientTape() as tape:
#             predictions = self.discriminator(self.generator(random_latent_vectors))
#             g_loss = self.loss_fn(misleading_labels, predictions)
#         grads = tape.gradient(g_loss, self.generator.trainable_weights)
#         self.g_optimizer.apply_gradients(zip(grads, self.generator.trainable_weights))
#         self.d_loss_metric.update_state(d_loss)
#         self.g_loss_metric.update_state(g_loss)
#         return {
#             "d_loss": self.d_loss_metric.result(),
#             "g_loss": self.g_loss_metric.result(),
#         }
# kfunc: what a batch changes is returned by a function, not set by a train_step
def gan_step(ts, batch):
    real_images = batch.x
    batch_size = ops.shape(real_images)[0]
    keys = kf.random.split(kf.random.fold_in(ts.key, ts.step), 5)

    def decoded(params, key):
        return generator.net.apply(params, keras.random.normal(key, shape=(batch_size, latent_dim)))[0]

    def judged(params, images, key):
        return discriminator.net.apply(params, images, key=key, train=True)[0]

    params, opt_state = dict(ts.params), dict(ts.opt_state)
    combined_images = ops.concatenate([decoded(params["generator"], keys[0]), real_images], axis=0)
    ones = ops.ones_like(combined_images[:batch_size, 0, 0])
    labels = ops.concatenate([ones, 0 * ones], axis=0)
    labels += 0.05 * keras.random.uniform(keys[1], ops.shape(labels))

    def update(name, loss):
        value, grads = kf.value_and_grad(loss)(params[name])
        updates, opt_state[name] = optimizers[name].update(grads, opt_state[name], params[name])
        params[name] = keras.optimizers.apply_updates(params[name], updates)
        return value

    d_loss = update("discriminator", lambda p: loss_fn(labels, judged(p, combined_images, keys[2])))
    g_loss = update(
        "generator", lambda p: loss_fn(0 * ones, judged(params["discriminator"], decoded(p, keys[3]), keys[4]))
    )
    return ts._replace(params=params, opt_state=opt_state), {"d_loss": d_loss, "g_loss": g_loss}
    # end


class GANMonitor(keras.callbacks.Callback):
    def __init__(self, num_img=3, latent_dim=128):
        super().__init__()
        self.num_img = num_img
        self.latent_dim = latent_dim
        # Keras:
        # self.seed_generator = keras.random.SeedGenerator(42)
        # kfunc: keys instead of seeds
        # end

    def on_epoch_end(self, epoch, logs=None):
        # Keras:
        # random_latent_vectors = keras.random.normal(shape=(self.num_img, self.latent_dim), seed=self.seed_generator)
        # generated_images = self.model.generator(random_latent_vectors)
        # kfunc: keys instead of seeds
        random_latent_vectors = keras.random.normal(keras.random.key(epoch), shape=(self.num_img, self.latent_dim))
        generated_images = generator.build()(random_latent_vectors)
        # end
        generated_images *= 255
        for i in range(self.num_img):
            print("image", i, "is as bright as", int(ops.mean(generated_images[i])))


epochs = 3

# Keras:
# gan = GAN(discriminator=discriminator, generator=generator, latent_dim=latent_dim)
# gan.compile(
#     d_optimizer=keras.optimizers.Adam(learning_rate=0.002),
#     g_optimizer=keras.optimizers.Adam(learning_rate=0.002),
#     loss_fn=keras.losses.BinaryCrossentropy(),
# )
# kfunc: a model is made of a layer
latent_vectors = keras.Input(shape=(latent_dim,))
gan = keras.Model(latent_vectors, discriminator(generator(latent_vectors)), step=gan_step).build()
loss_fn = keras.losses.BinaryCrossentropy()
optimizers = {
    "discriminator": keras.optimizers.Adam(learning_rate=0.002),
    "generator": keras.optimizers.Adam(learning_rate=0.002),
}
gan.compile(optimizers)
# end

history = gan.fit(
    dataset, batch_size=32, epochs=epochs, callbacks=[GANMonitor(num_img=2, latent_dim=latent_dim)], **where
)
