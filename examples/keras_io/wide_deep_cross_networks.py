"""Wide, deep and cross networks for tables, after https://keras.io/examples/structured_data/wide_deep_cross_networks/

The published one reads the table from a file by tf.data, and looks strings up by the layer StringLookup, which is not
here yet: NumPy does that to the table. It draws the networks by `keras.utils.plot_model`: `print(model.dot())` here.
"""

import math

import numpy as np
from data import forests, where

from kfunc import keras
from kfunc.keras import layers

columns, target = forests()
NUMERIC_FEATURE_NAMES = ["Elevation", "Slope", "Hillshade_Noon"]
CATEGORICAL_FEATURES_WITH_VOCABULARY = {
    name: sorted(set(columns[name].tolist())) for name in ["Soil_Type", "Wilderness_Area"]
}
CATEGORICAL_FEATURE_NAMES = list(CATEGORICAL_FEATURES_WITH_VOCABULARY.keys())
FEATURE_NAMES = NUMERIC_FEATURE_NAMES + CATEGORICAL_FEATURE_NAMES
NUM_CLASSES = 3

for name, vocabulary in CATEGORICAL_FEATURES_WITH_VOCABULARY.items():
    columns[name] = np.searchsorted(vocabulary, columns[name]).astype("int32")
train_data = {name: column[:640] for name, column in columns.items()}
test_data = {name: column[640:] for name, column in columns.items()}

learning_rate = 0.01
dropout_rate = 0.1
batch_size = 64
num_epochs = 3
hidden_units = [16, 16]


def run_experiment(model):
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    print("Start training the model...")
    history = model.fit(train_data, target[:640], batch_size=batch_size, epochs=num_epochs, **where)
    print("Model training finished")

    _, accuracy = model.evaluate(test_data, target[640:], verbose=0)
    print(f"Test accuracy: {round(accuracy * 100, 2)}%")
    return history


def create_model_inputs():
    inputs = {}
    for feature_name in FEATURE_NAMES:
        if feature_name in NUMERIC_FEATURE_NAMES:
            inputs[feature_name] = layers.Input(name=feature_name, shape=(), dtype="float32")
        else:
            inputs[feature_name] = layers.Input(name=feature_name, shape=(), dtype="int32")
    return inputs


def encode_inputs(inputs, use_embedding=False):
    encoded_features = []
    for feature_name in inputs:
        if feature_name in CATEGORICAL_FEATURE_NAMES:
            vocabulary = CATEGORICAL_FEATURES_WITH_VOCABULARY[feature_name]
            if use_embedding:
                embedding_dims = int(math.sqrt(len(vocabulary)))
                embedding = layers.Embedding(input_dim=len(vocabulary), output_dim=embedding_dims)
                encoded_feature = embedding(inputs[feature_name])
            else:
                encoded_feature = keras.ops.one_hot(inputs[feature_name], len(vocabulary))
        else:
            encoded_feature = keras.ops.expand_dims(inputs[feature_name], -1)

        encoded_features.append(encoded_feature)

    all_features = layers.concatenate(encoded_features)
    return all_features


def create_baseline_model():
    inputs = create_model_inputs()
    features = encode_inputs(inputs)

    for units in hidden_units:
        features = layers.Dense(units)(features)
        features = layers.BatchNormalization()(features)
        features = layers.ReLU()(features)
        features = layers.Dropout(dropout_rate)(features)

    outputs = layers.Dense(units=NUM_CLASSES, activation="softmax")(features)
    model = keras.Model(inputs=inputs, outputs=outputs)
    return model


run_experiment(create_baseline_model())


def create_wide_and_deep_model():
    inputs = create_model_inputs()
    wide = encode_inputs(inputs)
    wide = layers.BatchNormalization()(wide)

    deep = encode_inputs(inputs, use_embedding=True)
    for units in hidden_units:
        deep = layers.Dense(units)(deep)
        deep = layers.BatchNormalization()(deep)
        deep = layers.ReLU()(deep)
        deep = layers.Dropout(dropout_rate)(deep)

    merged = layers.concatenate([wide, deep])
    outputs = layers.Dense(units=NUM_CLASSES, activation="softmax")(merged)
    model = keras.Model(inputs=inputs, outputs=outputs)
    return model


run_experiment(create_wide_and_deep_model())


def create_deep_and_cross_model():
    inputs = create_model_inputs()
    x0 = encode_inputs(inputs, use_embedding=True)

    cross = x0
    for _ in hidden_units:
        units = cross.shape[-1]
        x = layers.Dense(units)(cross)
        cross = x0 * x + cross
    cross = layers.BatchNormalization()(cross)

    deep = x0
    for units in hidden_units:
        deep = layers.Dense(units)(deep)
        deep = layers.BatchNormalization()(deep)
        deep = layers.ReLU()(deep)
        deep = layers.Dropout(dropout_rate)(deep)

    merged = layers.concatenate([cross, deep])
    outputs = layers.Dense(units=NUM_CLASSES, activation="softmax")(merged)
    model = keras.Model(inputs=inputs, outputs=outputs)
    return model


history = run_experiment(create_deep_and_cross_model())
