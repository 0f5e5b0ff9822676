"""Sums of numbers as strings, by two LSTMs, after https://keras.io/examples/nlp/addition_rnn/"""

import numpy as np
from data import where

from kfunc import keras
from kfunc.keras import layers

TRAINING_SIZE = 500
DIGITS = 1
REVERSE = True
MAXLEN = DIGITS + 1 + DIGITS


class CharacterTable:
    """Characters as one-hot vectors, and back."""

    def __init__(self, chars):
        self.chars = sorted(set(chars))
        self.char_indices = {c: i for i, c in enumerate(self.chars)}
        self.indices_char = dict(enumerate(self.chars))

    def encode(self, text, num_rows):
        x = np.zeros((num_rows, len(self.chars)), dtype="float32")
        for i, c in enumerate(text):
            x[i, self.char_indices[c]] = 1
        return x

    def decode(self, x, calc_argmax=True):
        if calc_argmax:
            x = x.argmax(axis=-1)
        return "".join(self.indices_char[i] for i in x)


chars = "0123456789+ "
ctable = CharacterTable(chars)

questions, expected = [], []
rng = np.random.default_rng(0)
while len(questions) < TRAINING_SIZE:
    a, b = rng.integers(0, 10**DIGITS, 2)
    query = f"{a}+{b}".ljust(MAXLEN)
    questions.append(query[::-1] if REVERSE else query)
    expected.append(str(a + b).ljust(DIGITS + 1))

x = np.zeros((len(questions), MAXLEN, len(chars)), dtype="float32")
y = np.zeros((len(questions), DIGITS + 1, len(chars)), dtype="float32")
for i, (question, answer) in enumerate(zip(questions, expected, strict=True)):
    x[i] = ctable.encode(question, MAXLEN)
    y[i] = ctable.encode(answer, DIGITS + 1)

split_at = len(x) - len(x) // 10
x_train, x_val = x[:split_at], x[split_at:]
y_train, y_val = y[:split_at], y[split_at:]

num_layers = 1
model = keras.Sequential()
model.add(keras.Input(shape=(MAXLEN, len(chars))))
model.add(layers.LSTM(32))
model.add(layers.RepeatVector(DIGITS + 1))
for _ in range(num_layers):
    model.add(layers.LSTM(32, return_sequences=True))
model.add(layers.Dense(len(chars), activation="softmax"))
model.compile(
    loss="categorical_crossentropy", optimizer=keras.optimizers.Adam(learning_rate=0.01), metrics=["accuracy"]
)
model.summary()

epochs = 2
batch_size = 32

for iteration in range(1, 3):
    print()
    print("Iteration", iteration)
    history = model.fit(x_train, y_train, batch_size=batch_size, epochs=epochs, validation_data=(x_val, y_val), **where)
    for _ in range(3):
        ind = rng.integers(0, len(x_val))
        rowx, rowy = x_val[np.array([ind])], y_val[np.array([ind])]
        preds = np.argmax(model.predict(rowx), axis=-1)
        q = ctable.decode(rowx[0])
        correct = ctable.decode(rowy[0])
        guess = ctable.decode(preds[0], calc_argmax=False)
        print("Q", q[::-1] if REVERSE else q, "T", correct, "☑" if correct == guess else "☒", guess)
