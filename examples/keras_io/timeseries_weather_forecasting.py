"""The weather in some hours, after https://keras.io/examples/timeseries/timeseries_weather_forecasting/

The published example uses eight years of weather in Jena, which it reads with pandas. It also draws pictures of them.
"""

import itertools
import os
import tempfile

from data import weather, where

from kfunc import keras

split_fraction = 0.715
features = weather()
train_split = int(split_fraction * len(features))
step = 2

past = 24
future = 4
learning_rate = 0.005
batch_size = 64
epochs = 4


def normalize(data, train_split):
    data_mean = data[:train_split].mean(axis=0)
    data_std = data[:train_split].std(axis=0)
    return (data - data_mean) / data_std


features = normalize(features, train_split)
train_data = features[:train_split]
val_data = features[train_split:]

start = past + future
end = start + train_split

x_train = train_data
y_train = features[start:end, [1]]

sequence_length = int(past / step)

dataset_train = keras.utils.timeseries_dataset_from_array(
    x_train,
    y_train,
    sequence_length=sequence_length,
    sampling_rate=step,
    batch_size=batch_size,
)

x_end = len(val_data) - past - future
label_start = train_split + past + future

x_val = val_data[:x_end]
y_val = features[label_start:, [1]]

dataset_val = keras.utils.timeseries_dataset_from_array(
    x_val,
    y_val,
    sequence_length=sequence_length,
    sampling_rate=step,
    batch_size=batch_size,
)

# Keras:
# for batch in dataset_train.take(1):
# kfunc: data sets are not those of tf.data
for batch in itertools.islice(dataset_train, 1):
    # end
    inputs, targets = batch

print("Input shape:", inputs.shape)
print("Target shape:", targets.shape)

inputs = keras.layers.Input(shape=(inputs.shape[1], inputs.shape[2]))
lstm_out = keras.layers.LSTM(16)(inputs)
outputs = keras.layers.Dense(1)(lstm_out)

model = keras.Model(inputs=inputs, outputs=outputs)
model.compile(optimizer=keras.optimizers.Adam(learning_rate=learning_rate), loss="mse")
model.summary()

folder = tempfile.TemporaryDirectory()
# Keras:
# path_checkpoint = os.path.join(folder.name, "model_checkpoint.weights.h5")
# kfunc: files are safetensors
path_checkpoint = os.path.join(folder.name, "model_checkpoint.weights.safetensors")
# end
es_callback = keras.callbacks.EarlyStopping(monitor="val_loss", min_delta=0, patience=5)

modelckpt_callback = keras.callbacks.ModelCheckpoint(
    monitor="val_loss",
    filepath=path_checkpoint,
    verbose=1,
    save_weights_only=True,
    save_best_only=True,
)

history = model.fit(
    dataset_train, epochs=epochs, validation_data=dataset_val, callbacks=[es_callback, modelckpt_callback], **where
)
model.load_weights(path_checkpoint)
folder.cleanup()

# Keras:
# for x, y in dataset_val.take(2):
# kfunc: data sets are not those of tf.data
for x, y in itertools.islice(dataset_val, 2):
    # end
    print(f"True future: {float(y[0, 0]):.2f}, model prediction: {model.predict(x)[0, 0]:.2f}")
