"""Distill a network for handwritten digits into a small one that sees few labels, on any backend.

python examples/distillation.py [--backend jax] [--epochs 20]
"""

from __future__ import annotations

import argparse
import sys

from digits import digits

import kfunc as kf
from kfunc import nn, optim

TEMPERATURE, SHARE = 4.0, 0.9  # of the teacher's opinion in the loss; labels have the rest
hard = kf.losses.SparseCategoricalCrossentropy(from_logits=True)
soft = kf.losses.CategoricalCrossentropy(from_logits=True)


def mlp(*units):
    return nn.Sequential([nn.Flatten(), *[nn.Dense(n, activation="relu") for n in units], nn.Dense(10)])


def distilling(student, optimizer, teacher):
    """A step in which `student` learns from the labels and from the opinion of `teacher`, a trained model."""
    known = teacher.train_state  # does not change: constants of the step

    def step(ts: kf.TrainState, batch):
        opinion, _ = teacher.net.apply(known.params, batch.x, state=known.state)
        opinion = kf.ops.softmax(opinion / TEMPERATURE)

        def objective(params):
            logits, state = student.apply(params, batch.x, state=ts.state, train=True)
            from_teacher = soft(opinion, logits / TEMPERATURE) * TEMPERATURE**2
            from_labels = hard(batch.y, logits, batch.sample_weight)
            return SHARE * from_teacher + (1 - SHARE) * from_labels, (state, from_teacher, from_labels)

        (loss, (state, from_teacher, from_labels)), grads = kf.value_and_grad(objective, has_aux=True)(ts.params)
        updates, opt_state = optimizer.update(grads, ts.opt_state, ts.params)
        params = optim.apply_updates(ts.params, updates)
        logs = {"loss": loss, "from_teacher": from_teacher, "from_labels": from_labels}
        return ts._replace(params=params, state=state, opt_state=opt_state), logs

    return step


def main(backend="numpy", epochs=20, n=1437, verbose="auto"):
    (x, y), test = digits()
    x, y = x[:n], y[:n]
    labelled = (kf.random.uniform(kf.random.key(1), (len(y),)) < 0.1).astype(
        "float32"
    )  # of the others it sees no label
    options = {"epochs": epochs, "backend": backend, "verbose": verbose}
    metrics = ["accuracy"]

    teacher = kf.Model(mlp(256, 256))
    teacher.compile(optim.adam(1e-3), hard, metrics=metrics)
    teacher.fit(x, y, **options)

    alone = kf.Model(mlp(16))
    alone.compile(optim.adam(3e-3), hard, metrics=metrics)
    alone.fit(x, y, sample_weight=labelled, **options)

    student, optimizer = mlp(16), optim.adam(3e-3)
    model = kf.Model(student, step=distilling(student, optimizer, teacher))
    model.compile(optimizer, hard, metrics=metrics)  # what evaluates
    history = model.fit(x, y, sample_weight=labelled, validation_data=test, **options)

    print(f"\nparameters{'accuracy on held-out digits':>32}")
    for name, each in (("teacher", teacher), ("student with a teacher", model), ("student with labels alone", alone)):
        count = sum(int(leaf.size) for leaf in kf.tree.leaves(kf.to_backend(each.train_state.params, "numpy")))
        print(f"{count:>10,}{each.evaluate(*test, verbose=0)[1]:>12.2%}  {name}")
    return history.history


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy", help="where to train")
    parser.add_argument("--epochs", type=int, default=20)
    try:
        main(**vars(parser.parse_args()))
    except kf.errors.BackendError as error:  # not installed, unknown, or cannot train: it says so, and what to do
        sys.exit(str(error))
