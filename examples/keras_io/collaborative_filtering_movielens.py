"""Movies recommended by collaborative filtering, after https://keras.io/examples/structured_data/collaborative_filtering_movielens/"""

import numpy as np
from data import ratings, where

from kfunc import keras
from kfunc.keras import layers, ops

users, movies, stars = ratings()
num_users, num_movies = int(users.max()) + 1, int(movies.max()) + 1
min_rating, max_rating = stars.min(), stars.max()
print(f"Number of users: {num_users}, Number of Movies: {num_movies}, Min: {min_rating}, Max: {max_rating}")

x = np.stack([users, movies], axis=1)
y = (stars - min_rating) / (max_rating - min_rating)
train_indices = int(0.9 * len(x))
x_train, x_val, y_train, y_val = (x[:train_indices], x[train_indices:], y[:train_indices], y[train_indices:])

EMBEDDING_SIZE = 8


# Keras:
# class RecommenderNet(keras.Model):
# kfunc: a model is made of a layer
class RecommenderNet(keras.Layer):
    # end
    def __init__(self, num_users, num_movies, embedding_size, **kwargs):
        super().__init__(**kwargs)
        self.num_users = num_users
        self.num_movies = num_movies
        self.embedding_size = embedding_size
        self.user_embedding = layers.Embedding(
            num_users,
            embedding_size,
            embeddings_initializer="he_normal",
            embeddings_regularizer=keras.regularizers.l2(1e-6),
        )
        self.user_bias = layers.Embedding(num_users, 1)
        self.movie_embedding = layers.Embedding(
            num_movies,
            embedding_size,
            embeddings_initializer="he_normal",
            embeddings_regularizer=keras.regularizers.l2(1e-6),
        )
        self.movie_bias = layers.Embedding(num_movies, 1)

    def call(self, inputs):
        user_vector = self.user_embedding(inputs[:, 0])
        user_bias = self.user_bias(inputs[:, 0])
        movie_vector = self.movie_embedding(inputs[:, 1])
        movie_bias = self.movie_bias(inputs[:, 1])
        dot_user_movie = ops.sum(user_vector * movie_vector, axis=1, keepdims=True)
        x = dot_user_movie + user_bias + movie_bias
        return ops.sigmoid(x)


# Keras:
# model = RecommenderNet(num_users, num_movies, EMBEDDING_SIZE)
# kfunc: a model is made of a layer
model = keras.Model(RecommenderNet(num_users, num_movies, EMBEDDING_SIZE))
# end
model.compile(
    loss=keras.losses.BinaryCrossentropy(),
    optimizer=keras.optimizers.Adam(learning_rate=0.01),
)

history = model.fit(x=x_train, y=y_train, batch_size=64, epochs=4, verbose=1, validation_data=(x_val, y_val), **where)

user = 0
not_watched = np.setdiff1d(np.arange(num_movies), movies[users == user])
user_movie_array = np.stack([np.full(len(not_watched), user), not_watched], axis=1)
predicted = model.predict(user_movie_array).flatten()
print("Top 10 movie recommendations:", not_watched[predicted.argsort()[-10:][::-1]])
