"""Knowledge distillation, after https://keras.io/examples/vision/knowledge_distillation/"""

import numpy as np
from data import digits, where

from kfunc import keras
from kfunc.keras import layers, ops


class Distiller(keras.Model):
    # Keras:
    # def __init__(self, student, teacher):
    #     super().__init__()
    # kfunc: a loss of your own is a function
    def __init__(self, student, teacher):
        super().__init__(student.net, objective=self.objective)
        # end
        self.teacher = teacher
        self.student = student

    def compile(self, optimizer, metrics, student_loss_fn, distillation_loss_fn, alpha=0.1, temperature=3):
        super().compile(optimizer=optimizer, metrics=metrics)
        self.student_loss_fn = student_loss_fn
        self.distillation_loss_fn = distillation_loss_fn
        self.alpha = alpha
        self.temperature = temperature

    # Keras:
    # def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, allow_empty=False):
    # kfunc: a loss of your own is a function
    def objective(self, params, state, batch, key, train):
        x, y = batch.x, batch.y
        y_pred, state = self.net.apply(params, x, state=state, key=key, train=train)
        # end
        teacher_pred = self.teacher(x, training=False)
        student_loss = self.student_loss_fn(y, y_pred)
        distillation_loss = self.distillation_loss_fn(
            ops.softmax(teacher_pred / self.temperature, axis=1),
            ops.softmax(y_pred / self.temperature, axis=1),
        ) * (self.temperature**2)
        loss = self.alpha * student_loss + (1 - self.alpha) * distillation_loss
        # Keras:
        # return loss
        # kfunc: a loss of your own is a function
        return loss, (state, {"y_pred": y_pred})
        # end

    # Keras:
    # def call(self, x):
    #     return self.student(x)
    # kfunc: a loss of your own is a function
    # end


def network(filters, name):
    return keras.Sequential(
        [
            keras.Input(shape=(8, 8, 1)),
            layers.Conv2D(filters, (3, 3), strides=(2, 2), padding="same"),
            layers.LeakyReLU(negative_slope=0.2),
            layers.MaxPooling2D(pool_size=(2, 2), strides=(1, 1), padding="same"),
            layers.Flatten(),
            layers.Dense(10),
        ],
        name=name,
    )


teacher = network(32, "teacher")
student = network(8, "student")
student_scratch = keras.models.clone_model(student)

(x_train, y_train), (x_test, y_test) = digits(384, 64)
x_train = np.reshape(x_train.astype("float32") / 16, (-1, 8, 8, 1))
x_test = np.reshape(x_test.astype("float32") / 16, (-1, 8, 8, 1))

teacher.compile(
    optimizer=keras.optimizers.Adam(3e-3),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=[keras.metrics.SparseCategoricalAccuracy()],
)
teacher.fit(x_train, y_train, epochs=3, **where)
teacher.evaluate(x_test, y_test)

teacher.trainable = False
distiller = Distiller(student=student, teacher=teacher)
distiller.compile(
    optimizer=keras.optimizers.Adam(3e-3),
    metrics=[keras.metrics.SparseCategoricalAccuracy()],
    student_loss_fn=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    distillation_loss_fn=keras.losses.KLDivergence(),
    alpha=0.1,
    temperature=10,
)
history = distiller.fit(x_train, y_train, epochs=3, **where)
print("Distilled:", distiller.evaluate(x_test, y_test))

student_scratch.compile(
    optimizer=keras.optimizers.Adam(3e-3),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=[keras.metrics.SparseCategoricalAccuracy()],
)
student_scratch.fit(x_train, y_train, epochs=3, **where)
print("Alone:", student_scratch.evaluate(x_test, y_test))
