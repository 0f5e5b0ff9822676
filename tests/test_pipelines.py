"""`kf.data.Dataset` and what is made of it: order, length, epochs, resume, errors; files in folders beside Keras."""

from __future__ import annotations

import itertools
import re
import wave

import keras
import numpy as np
import pytest
from PIL import Image

import kfunc as kf
from kfunc import nn
from kfunc.data import Dataset
from kfunc.errors import ArgumentError, DataError, FileError, IndexingError, ShapeError, UnsupportedError

X, Y = np.arange(20.0).reshape(10, 2), np.arange(10)


def rows(n=10):
    return Dataset.from_tensor_slices((X[:n], Y[:n]))


def numbers(dataset):
    """The labels of a data set's items, in their order."""
    return [np.asarray(y).tolist() for _, y in dataset]


MADE = {
    "slices": (lambda: rows(), list(range(10))),
    "take": (lambda: rows().take(3), [0, 1, 2]),
    "take more": (lambda: rows().take(99), list(range(10))),
    "take none": (lambda: rows().take(0), []),
    "skip": (lambda: rows().skip(8), [8, 9]),
    "skip all": (lambda: rows().skip(10), []),
    "batch": (lambda: rows().batch(4), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]),
    "batch, drop": (lambda: rows().batch(4, drop_remainder=True), [[0, 1, 2, 3], [4, 5, 6, 7]]),
    "batch of batches": (lambda: rows(4).batch(2).batch(2), [[[0, 1], [2, 3]]]),
    "repeat": (lambda: rows(2).repeat(3), [0, 1, 0, 1, 0, 1]),
    "repeat, 0": (lambda: rows(2).repeat(0), []),
    "endless": (lambda: rows(2).repeat().take(5), [0, 1, 0, 1, 0]),
    "endless, batch": (lambda: rows(3).repeat().batch(2).take(2), [[0, 1], [2, 0]]),
    "concatenate": (lambda: rows(2).concatenate(rows(3)), [0, 1, 0, 1, 2]),
    "map": (lambda: rows(3).map(lambda x, y: (x, y * 10)), [0, 10, 20]),
    "map of an empty one": (lambda: rows(0).map(lambda x, y: (x, y * 10)), []),
    "cache": (lambda: rows(3).cache(), [0, 1, 2]),
    "prefetch": (lambda: rows(3).prefetch(-1).prefetch(2), [0, 1, 2]),
    "several threads": (lambda: rows().map(lambda x, y: (x, y), workers=3), list(range(10))),
    "of a user's own": (lambda: Dataset.skip(Own(), 1), [1, 2]),
}


class Own(Dataset):
    def __init__(self):
        super().__init__()
        self.told = []

    def __len__(self):
        return 3

    def __getitem__(self, i):
        return X[i], Y[i]

    def on_epoch_begin(self):
        self.told.append("begin")

    def on_epoch_end(self):
        self.told.append("end")


@pytest.mark.parametrize("name", MADE)
def test_items_are_these(name):
    make, wanted = MADE[name]
    made = make()
    assert numbers(made) == wanted
    assert len(made) == len(wanted)
    assert [np.asarray(made[i][1]).tolist() for i in range(len(wanted))] == wanted  # in any order of looking up
    if wanted:
        assert np.asarray(made[-1][1]).tolist() == wanted[-1]
    with pytest.raises(IndexingError):
        made[len(wanted)]


def test_shuffle():
    made = rows().shuffle(seed=3)
    first, second = numbers(made), numbers(made)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second and first != list(range(10))
    assert numbers(rows().shuffle(seed=3)) == first != numbers(rows().shuffle(seed=4))
    assert numbers(rows().shuffle(seed=3).map(lambda x, y: (x, y), workers=4)) == first
    fixed = rows().shuffle(seed=3, reshuffle_each_iteration=False)
    assert numbers(fixed) == numbers(fixed) == first
    assert numbers(rows().shuffle(seed=3).repeat(2)) == first + second  # each round has an order of its own
    kept = rows().shuffle(seed=3).cache()
    assert numbers(kept) == numbers(kept) == first


def test_zip_has_the_items_of_all():
    found = list(Dataset.zip(rows(3), rows().skip(5)))
    assert [(int(a[1]), int(b[1])) for a, b in found] == [(0, 5), (1, 6), (2, 7)]


def test_structures_and_texts():
    made = Dataset.from_tensor_slices({"text": ["a", "bb", "c"], "n": np.arange(3)}).batch(2)
    assert made[0]["text"].tolist() == ["a", "bb"] and type(made[0]["text"][0]) is str
    assert made[1]["n"].tolist() == [2]
    padded = Dataset.skip([np.ones((2, 1)), np.ones((3, 2))], 0).padded_batch(2, padding_values=7)[0]
    assert padded.tolist() == [[[1, 7], [1, 7], [7, 7]], [[1, 1], [1, 1], [1, 1]]]


def test_a_layer_draws_for_each_item_and_epoch():
    images = Dataset.from_tensor_slices((np.ones((6, 8), "float32"), np.arange(6)))
    made = images.map(nn.Dropout(0.5), seed=1)
    first, second = (np.stack([x for x, _ in made]) for _ in range(2))
    assert not np.array_equal(first, second) and len({row.tobytes() for row in first}) > 1
    again = np.stack([x for x, _ in images.map(nn.Dropout(0.5), workers=3, seed=1)])
    np.testing.assert_array_equal(again, first)


def test_fit_reads_them(name="numpy"):
    def fitted(data, epochs, **options):
        model = kf.Model(nn.Dense(1), seed=0)
        model.compile("sgd", "mse")
        return model.fit(data.batch(4), epochs=epochs, verbose=0, **options).history["loss"]

    small = Dataset.from_tensor_slices((X.astype("float32") / 20, Y / 10)).shuffle(seed=1)
    losses = fitted(small, 3)
    assert losses == fitted(small.map(lambda x, y: (x, y), workers=3), 3) and losses[2] < losses[0]
    assert len(fitted(small.repeat(), 2, steps_per_epoch=4)) == 2
    own = Own()
    model = kf.Model(nn.Dense(1))
    model.compile("sgd", "mse")
    model.fit(Dataset.zip(own, own).map(lambda a, b: a).batch(2), epochs=2, verbose=0)
    assert own.told == ["begin", "end"] * 2  # once each, though it is there twice


def test_a_resumed_fit_goes_on(tmp_path):
    def fit(epochs, folder=None):
        data = Dataset.from_tensor_slices((X.astype("float32") / 20, Y / 10)).shuffle(seed=1)
        model = kf.Model(nn.Sequential([nn.Dropout(0.5), nn.Dense(1)]), seed=0)
        model.compile("adam", "mse")
        model.fit(data.map(nn.Dropout(0.2)).batch(3), epochs=epochs, verbose=0, resume=folder)
        return model.predict(X, verbose=0)

    whole = fit(4)
    fit(2, tmp_path / "run")
    np.testing.assert_array_equal(fit(4, tmp_path / "run"), whole)


REFUSED = {
    "rows": (lambda: Dataset.from_tensor_slices((X, Y[:3])), ShapeError, "(10, 2), (3,)"),
    "a number": (lambda: Dataset.from_tensor_slices(3), ShapeError, "tensors"),
    "batch of 0": (lambda: rows().batch(0), ArgumentError, "batch_size"),
    "shapes": (lambda: Dataset.skip([X[0], X], 0).batch(2)[0], ShapeError, "item 1 has (10, 2)"),
    "structures": (lambda: Dataset.skip([X[0], (X, Y)], 0).batch(2)[0], ShapeError, "Item 1"),
    "shuffle without end": (lambda: rows().repeat().shuffle(), ArgumentError, "without end"),
    "map of nothing": (lambda: rows().map(3), ArgumentError, "map_func"),
    "map of a layer with weights": (lambda: rows().map(nn.Dense(1))[0], ArgumentError, "has weights"),
    "zip of an array": (lambda: Dataset.zip(X), ArgumentError, "datasets"),
    "split by nothing": (lambda: kf.utils.split_dataset(X), ArgumentError, "left_size"),
    "split of too few": (lambda: kf.utils.split_dataset(X, 8, 3), ArgumentError, "right_size"),
    "a text": (lambda: kf.utils.split_dataset("abc", 1), ArgumentError, "dataset"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    run, error, said = REFUSED[name]
    with pytest.raises(error, match=re.escape(said)):
        run()


@pytest.mark.parametrize("sizes", [(0.8, None), (None, 3), (0.5, 0.3), (4, 2), (7, None)], ids=str)
@pytest.mark.parametrize("kind", ["array", "pair", "list of arrays", "iterable", "dataset"])
def test_split_dataset(kind, sizes):
    data = {
        "array": Y,
        "pair": (X, Y),
        "list of arrays": [X, Y],
        "iterable": (y for y in Y),
        "dataset": Dataset.from_tensor_slices(Y),
    }[kind]
    left, right = kf.utils.split_dataset(data, *sizes)
    theirs = keras.utils.split_dataset(Y, *sizes)
    for ours, wanted in zip((left, right), theirs, strict=True):
        found = [int(item[1] if isinstance(item, tuple) else item) for item in ours]
        assert found == [int(y) for y in wanted]
    shuffled = [*kf.utils.split_dataset(Y, 0.5, shuffle=True)[0], *kf.utils.split_dataset(Y, 0.5, shuffle=True)[1]]
    assert sorted(map(int, shuffled)) == Y.tolist() != list(map(int, shuffled))


# -- files in folders, beside Keras ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for kind in "cba":
        (folder / kind).mkdir()
        for i in range(4):
            pixels = draw.integers(0, 256, (20 + i, 30 - i, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / kind / f"{i}.PNG")
    (folder / "c" / "sub").mkdir()
    Image.fromarray(pixels[..., 0]).save(folder / "c" / "sub" / "grey.png")
    (folder / "a" / "notes.txt").write_text("no picture")
    return folder


# Both weigh two to six pixels of at most 255. Keras's weights are float32: places below 30 are wrong by 30 eps, so that
# a difference of neighbours, 255, is wrong by 30 eps * 255, in each of two axes.
PIXELS = 2 * 30 * 255 * np.finfo(np.float32).eps
OPTIONS = [
    {},
    {"label_mode": "categorical"},
    {"label_mode": "binary", "class_names": ["c", "a"]},
    {"labels": None},
    {"label_mode": None},
    {"labels": list(range(13))},
    {"color_mode": "rgba"},
    {"crop_to_aspect_ratio": True},
    {"interpolation": "nearest"},
    {"interpolation": "lanczos3"},
    {"data_format": "channels_first"},
    {"image_size": 40},
    {"batch_size": None},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_pictures_are_those_of_keras(pictures, options):
    options = {"image_size": (16, 12), "shuffle": False, "verbose": False, **options}
    ours = kf.utils.image_dataset_from_directory(pictures, **options)
    theirs = keras.utils.image_dataset_from_directory(pictures, **options)
    assert (ours.file_paths, ours.class_names) == (theirs.file_paths, theirs.class_names)
    for item, wanted in itertools.islice(zip(ours, theirs, strict=True), 3):
        item, wanted = (x if isinstance(x, tuple) else (x,) for x in (item, wanted))
        assert len(item) == len(wanted) and item[0].dtype == np.float32
        for a, b in zip(item, wanted, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b.numpy(), rtol=0, atol=PIXELS)
        assert [a.dtype for a in item[1:]] == [b.numpy().dtype for b in wanted[1:]]


@pytest.mark.parametrize("labels", ["inferred", [*range(13)]], ids=["inferred", "list"])
@pytest.mark.parametrize("seed", [1, 7])
def test_one_seed_divides_files_as_in_keras(pictures, labels, seed):
    for subset in ("training", "validation"):
        options = {"labels": labels, "seed": seed, "validation_split": 0.3, "subset": subset, "verbose": False}
        ours, theirs = (m.utils.image_dataset_from_directory(pictures, **options) for m in (kf, keras))
        assert ours.file_paths == theirs.file_paths
        wanted = {str(p): y for p, y in zip(ours.file_paths, np.concatenate([y for _, y in ours]), strict=True)}
        assert sorted(wanted.values()) == sorted(np.concatenate([y for _, y in theirs]).tolist())
    both = kf.utils.image_dataset_from_directory(
        pictures, subset="both", validation_split=0.3, seed=seed, verbose=False
    )
    assert both[1].file_paths == ours.file_paths and len(both[0].file_paths) + len(both[1].file_paths) == 13
    first, second = (np.concatenate([y for _, y in both[0]]) for _ in range(2))
    assert sorted(first) == sorted(second) and not np.array_equal(first, second)


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_labels_may_be_an_array(pictures, kind):
    made = kf.utils.image_dataset_from_directory(pictures, kind(range(13)), shuffle=False, verbose=False)
    assert made[0][1].tolist() == list(range(13))


def test_grey_of_16_bits_and_palettes(tmp_path):
    Image.fromarray(np.uint16([[0, 256, 65535]])).save(tmp_path / "16.png")
    Image.fromarray(np.uint8([[[51, 51, 51], [204, 204, 204], [0, 0, 0]]])).convert("P").save(tmp_path / "p.gif")
    made = kf.utils.image_dataset_from_directory(
        tmp_path, labels=None, color_mode="grayscale", image_size=(1, 3), shuffle=False, batch_size=None, verbose=False
    )
    assert made[0].ravel().tolist() == [0, 1, 255]
    assert made[1].ravel().tolist() == [51, 204, 0]


def write_wav(path, samples, width):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(8000)
        file.writeframes(
            (samples + 128).astype("u1").tobytes()
            if width == 1
            else samples.astype("<i4").view("u1").reshape(-1, 4)[:, :width].tobytes()
        )


def test_sounds(tmp_path):
    draw = np.random.default_rng(0)
    each = {}
    for kind, width in [("b8", 1), ("c16", 2), ("d24", 3), ("e32", 4)]:
        (tmp_path / kind).mkdir()
        top = 2 ** (8 * width - 1)
        each[kind] = draw.integers(-top, top, (20 + 4 * width, 2)).astype(np.int64)
        write_wav(tmp_path / kind / "a.wav", each[kind], width)
    options = {"shuffle": False, "verbose": False, "batch_size": 4}
    x, y = kf.utils.audio_dataset_from_directory(tmp_path, **options)[0]
    assert x.shape == (4, 36, 2) and x.dtype == np.float32 and y.tolist() == [0, 1, 2, 3]
    for row, (kind, width) in zip(x, [("b8", 1), ("c16", 2), ("d24", 3), ("e32", 4)], strict=True):
        n = len(each[kind])
        np.testing.assert_array_equal(row[:n], (each[kind] / 2 ** (8 * width - 1)).astype(np.float32))
        assert not row[n:].any()
    for kind in ("b8", "d24", "e32"):  # TensorFlow reads 16 bits alone
        (tmp_path / kind / "a.wav").unlink()
        (tmp_path / kind).rmdir()
    ours, theirs = (
        m.utils.audio_dataset_from_directory(tmp_path, output_sequence_length=25, **options) for m in (kf, keras)
    )
    np.testing.assert_array_equal(ours[0][0], next(iter(theirs))[0].numpy())


def test_texts(tmp_path):
    for kind, text in [("no", "nein, naïve\r\n"), ("yes", "ja")]:
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "a.txt").write_bytes(text.encode())
    ours, theirs = (m.utils.text_dataset_from_directory(tmp_path, shuffle=False, verbose=False) for m in (kf, keras))
    (x, y), (tx, ty) = ours[0], next(iter(theirs))
    assert x.tolist() == [t.decode() for t in tx.numpy()] and y.tolist() == ty.numpy().tolist()


def bad_folder(tmp_path, kind):
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.new("RGB", (9, 9)).save(tmp_path / name / "1.png")
    if kind == "damaged":
        (tmp_path / "b" / "2.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    elif kind == "cut":
        whole = (tmp_path / "b" / "1.png").read_bytes()
        (tmp_path / "b" / "1.png").write_bytes(whole[: len(whole) // 2])
    elif kind == "empty class":
        (tmp_path / "c").mkdir()
    elif kind == "circle":
        (tmp_path / "b" / "again").symlink_to(tmp_path)


BAD = {
    "damaged": ({}, DataError, "2.jpg"),
    "cut": ({}, DataError, "1.png"),
    "empty class": ({}, DataError, "'c'"),
    "circle": ({"follow_links": True}, DataError, "again"),
    "labels": ({"labels": [1]}, ArgumentError, "1 labels, and there are 2 files"),
    "class_names": ({"class_names": ["x"]}, ArgumentError, "'x'"),
    "class_names without folders": ({"labels": None, "class_names": ["a"]}, ArgumentError, "class_names"),
    "binary": ({"label_mode": "binary", "class_names": ["a"]}, ArgumentError, "2 classes"),
    "subset alone": ({"subset": "training"}, ArgumentError, "together"),
    "split of 2": ({"validation_split": 2, "subset": "training"}, ArgumentError, "validation_split"),
    "no file for validation": ({"validation_split": 0.1, "subset": "validation"}, DataError, "no files for validation"),
    "image_size": ({"image_size": (0, 3)}, ArgumentError, "image_size"),
    "color_mode": ({"color_mode": "cmyk"}, ArgumentError, "color_mode"),
    "interpolation": ({"interpolation": "area"}, ArgumentError, "interpolation"),
    "crop and pad": ({"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, ArgumentError, "both set"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_folders(tmp_path, kind):
    bad_folder(tmp_path, kind)
    options, error, said = BAD[kind]
    with pytest.raises(error, match=re.escape(said)):
        list(kf.utils.image_dataset_from_directory(tmp_path, verbose=False, **options))


def test_other_bad_files(tmp_path):
    with pytest.raises(FileError, match="no directory"):
        kf.utils.image_dataset_from_directory(tmp_path / "none")
    with pytest.raises(DataError, match="no files"):
        kf.utils.text_dataset_from_directory(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="not UTF-8"):
        list(kf.utils.text_dataset_from_directory(tmp_path, verbose=False))
    write_wav(tmp_path / "a" / "x.wav", np.ones((50, 1), np.int64), 2)
    whole = (tmp_path / "a" / "x.wav").read_bytes()
    (tmp_path / "a" / "x.wav").write_bytes(whole[:70])
    sounds = kf.utils.audio_dataset_from_directory(tmp_path, verbose=False)
    with pytest.raises(DataError, match=re.escape("x.wav")):
        list(sounds)
    with pytest.raises(UnsupportedError, match="ragged"):
        kf.utils.audio_dataset_from_directory(tmp_path, ragged=True)
