"""The small data of these examples, and where they train. All are NumPy arrays, drawn from a fixed seed or real."""

from __future__ import annotations

import atexit
import pathlib
import shutil
import tempfile

import numpy as np
from safetensors.numpy import load_file

where: dict = {}
"""An argument that all examples add to their calls of `fit`: `backend=`. `run.py` sets it. For Keras it is empty, since
Keras reads the backend from the environment, before it is imported."""


def digits(n_train: int = 512, n_test: int = 128):
    """Real handwritten digits: images (n, 8, 8) of 0 to 16, uint8, and labels (n,); to train on, and held out."""
    data = load_file(pathlib.Path(__file__).parents[1] / "data" / "digits.safetensors")
    order = np.random.default_rng(0).permutation(len(data["labels"]))[: n_train + n_test]
    x, y = data["images"][order], data["labels"][order].astype("int32")
    return (x[:n_train], y[:n_train]), (x[n_train:], y[n_train:])


def waves(n_train: int = 256, n_test: int = 64, steps: int = 20):
    """Readings of six sensors on an engine, (n, steps, 6), and whether it knocks, (n,): -1 or 1."""
    rng = np.random.default_rng(1)
    n = n_train + n_test
    labels = rng.choice([-1, 1], n)
    time = np.arange(steps)[None, :, None]
    speed, phase = rng.uniform(0.4, 0.6, (n, 1, 1)), rng.uniform(0, 6, (n, 1, 6))
    knocks = (np.sin(3 * speed * time + phase) > 0.8) * (labels == 1)[:, None, None]
    level = rng.normal(0, 1, 6)
    x = level + np.sin(speed * time + phase) + 1.5 * knocks + rng.normal(0, 0.2, (n, steps, 6))
    return (x[:n_train], labels[:n_train]), (x[n_train:], labels[n_train:])


def ratings(users: int = 40, movies: int = 60, n: int = 1200):
    """Who rated which movie, and how, from hidden tastes: numbers of users and of movies, and 0.5 to 5 stars, (n,)."""
    rng = np.random.default_rng(2)
    user, movie = rng.integers(0, users, n), rng.integers(0, movies, n)
    likes, is_about = rng.normal(size=(users, 3)), rng.normal(size=(movies, 3))
    mood, fame = rng.normal(0, 0.6, users), rng.normal(0, 0.9, movies)
    stars = 2.75 + mood[user] + fame[movie] + 0.5 * np.sum(likes[user] * is_about[movie], -1)
    return user, movie, np.clip(np.round(2 * stars) / 2, 0.5, 5)


def forests(n: int = 800):
    """Squares of a forest: a dict of columns (n,), two of them of names, and which of 3 kinds of tree grows there."""
    rng = np.random.default_rng(3)
    soil, area = rng.integers(0, 6, n), rng.integers(0, 3, n)
    columns = {
        "Elevation": rng.normal(size=n),
        "Slope": rng.normal(size=n),
        "Hillshade_Noon": rng.normal(size=n),
        "Soil_Type": np.array([f"soil_type_{i + 1}" for i in range(6)])[soil],
        "Wilderness_Area": np.array([f"area_type_{i + 1}" for i in range(3)])[area],
    }
    tree = columns["Elevation"] + 0.8 * columns["Slope"] * (area - 1) + 0.7 * (soil % 3 - 1) + rng.normal(0, 0.3, n)
    return columns, np.digitize(tree, [-0.7, 0.7]).astype("int32")


def weather(hours: int = 1400):
    """Pressure, temperature, humidity and wind, (hours, 4): of a place with days, fronts that pass, and noise."""
    rng = np.random.default_rng(4)
    time = np.arange(hours)
    day = np.sin(2 * np.pi * time / 24)
    front = np.convolve(rng.normal(size=hours + 47), np.hanning(48), "valid") / 3
    noise = rng.normal(0, 1, (hours, 4))
    pressure, temperature = 990 + 8 * front, 10 + 4 * day - 3 * front
    return np.stack([pressure, temperature, 70 - 10 * day, 5 + 2 * np.abs(front)], -1) + noise * [1, 0.3, 4, 1]


def folder() -> pathlib.Path:
    """A directory for the files of an example, removed when the process ends."""
    path = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return pathlib.Path(path)


def shapes(n: int, size: int = 16, seed: int = 0):
    """Coloured discs and squares on noise, in place of pets.

    Returns:
        Images (n, size, size, 3), uint8; which pixels are the shape (1), the ground (2) or the border between them (3),
        (n, size, size, 1), uint8; and whether the shape is a disc, 0, or a square, 1, (n,), int32.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n).astype("int32")
    radius = rng.uniform(size / 6, size / 3, (n, 1, 1))
    centre = rng.uniform(radius + 1, size - radius - 1, (2, n, 1, 1))
    y, x = (
        np.abs(np.arange(size).reshape(shape) - c) for shape, c in zip(((1, -1, 1), (1, 1, -1)), centre, strict=True)
    )
    distance = np.where(labels[:, None, None] == 1, np.maximum(x, y), np.hypot(x, y)) - radius
    masks = np.where(distance < -0.5, 1, np.where(distance < 0.5, 3, 2)).astype("uint8")
    ground, colour = rng.uniform(0, 100, (n, 1, 1, 3)), rng.uniform(155, 255, (n, 1, 1, 3))
    images = np.where(masks[..., None] == 2, ground, colour) + rng.normal(0, 10, (n, size, size, 3))
    return images.clip(0, 255).astype("uint8"), masks[..., None], labels


def texts(n: int = 256):
    """Short reviews of films, a list of strings, and whether each is a good one (n,), int32."""
    rng = np.random.default_rng(1)
    things = "this movie|the film|the acting|the plot|the music|the ending|every scene".split("|")
    verbs, words = "is was seems felt".split(), "quite really so very rather".split()
    opinions = "bad boring poor awful silly dull".split(), "good great funny clever moving superb".split()
    labels = rng.integers(0, 2, n).astype("int32")
    made = []
    for label in labels:
        parts = []
        for _ in range(rng.integers(1, 4)):
            kind = label if rng.random() < 0.9 else 1 - label
            parts.append(" ".join(map(str, [*map(rng.choice, (things, verbs, words, opinions[kind]))])))
        made.append(" and ".join(parts))
    return made, labels


def reviews(num_words: int, n_train: int = 192, n_test: int = 64):
    """The texts as lists of numbers, and the labels; to train on, and held out: as those of IMDB in Keras.

    1 begins a text, 2 stands for a rare word, and the most frequent words have the numbers from 4 on.
    """
    found, labels = texts(n_train + n_test)
    words, counts = np.unique([w for text in found for w in text.split()], return_counts=True)
    number = {w: i + 4 for i, w in enumerate(words[np.argsort(-counts, kind="stable")])}
    x = [[1, *(number[w] if number[w] < num_words else 2 for w in text.split())] for text in found]
    return (x[:n_train], labels[:n_train]), (x[n_train:], labels[n_train:])


def translations():
    """Counted things in English and in French: a list of pairs of short strings, in a random order."""
    numbers = "two/deux three/trois four/quatre five/cinq six/six seven/sept eight/huit nine/neuf ten/dix"
    things = "cats/chats dogs/chiens birds/oiseaux books/livres trees/arbres roses/roses hats/chapeaux"
    split = [[word.split("/") for word in words.split()] for words in (numbers, things)]
    pairs = [(f"{n} {t}", f"{m} {u}") for n, m in split[0] for t, u in split[1]]
    return [pairs[i] for i in np.random.default_rng(2).permutation(len(pairs))]


def voices(speakers: int = 4, each: int = 40, length: int = 256):
    """Sounds of speakers, each with three tones of its own: (n, length, 1) float32; who speaks (n,) int32; noises."""
    rng = np.random.default_rng(3)
    pitch = rng.uniform(0.05, 0.45, (speakers, 3))
    labels = rng.permutation(np.repeat(np.arange(speakers), each)).astype("int32")
    phase, loud = rng.uniform(0, 2 * np.pi, (len(labels), 3, 1)), rng.uniform(0.02, 0.06, (len(labels), 3, 1))
    tones = np.sin(2 * np.pi * pitch[labels][:, :, None] * np.arange(length) + phase) * loud
    noises = rng.normal(size=(8, length, 1)).astype("float32")
    return tones.sum(1)[..., None].astype("float32"), labels, noises


def captchas(n: int = 160, characters: int = 3, height: int = 8, width: int = 28):
    """Real digits beside each other, at random places: images (n, height, width, 1) of 0 to 1, and strings."""
    rng = np.random.default_rng(4)
    (digit, label), _ = digits(n * characters)
    images = np.zeros((n, height, width, 1), dtype="float32")
    for i in range(n):
        gaps = np.sort(rng.integers(0, width - 8 * characters + 1, characters))
        for k in range(characters):
            start = 8 * k + gaps[k]
            images[i, :, start : start + 8, 0] = digit[i * characters + k] / 16
    return images, ["".join(map(str, row)) for row in label.reshape(n, characters)]
