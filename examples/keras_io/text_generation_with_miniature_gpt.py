"""A small GPT that writes reviews, after https://keras.io/examples/generative/text_generation_with_miniature_gpt/

The published one splits and numbers words by TextVectorization, which is not here yet.
"""

import numpy as np
from data import texts, where

from kfunc import keras
from kfunc.keras import layers, ops


def causal_attention_mask(batch_size, n_dest, n_src, dtype):
    """1 where the source does not lie after the destination."""
    i = ops.arange(n_dest)[:, None]
    j = ops.arange(n_src)
    m = i >= j - n_src + n_dest
    mask = ops.cast(m, dtype)
    return ops.reshape(mask, [1, n_dest, n_src])


class TransformerBlock(layers.Layer):
    def __init__(self, embed_dim, num_heads, ff_dim, rate=0.1):
        super().__init__()
        self.att = layers.MultiHeadAttention(num_heads, embed_dim)
        self.ffn = keras.Sequential(
            [
                layers.Dense(ff_dim, activation="relu"),
                layers.Dense(embed_dim),
            ]
        )
        self.layernorm1 = layers.LayerNormalization(epsilon=1e-6)
        self.layernorm2 = layers.LayerNormalization(epsilon=1e-6)
        self.dropout1 = layers.Dropout(rate)
        self.dropout2 = layers.Dropout(rate)

    def call(self, inputs):
        input_shape = ops.shape(inputs)
        batch_size = input_shape[0]
        seq_len = input_shape[1]
        causal_mask = causal_attention_mask(batch_size, seq_len, seq_len, "bool")
        attention_output = self.att(inputs, inputs, attention_mask=causal_mask)
        attention_output = self.dropout1(attention_output)
        out1 = self.layernorm1(inputs + attention_output)
        ffn_output = self.ffn(out1)
        ffn_output = self.dropout2(ffn_output)
        return self.layernorm2(out1 + ffn_output)


class TokenAndPositionEmbedding(layers.Layer):
    def __init__(self, maxlen, vocab_size, embed_dim):
        super().__init__()
        self.token_emb = layers.Embedding(input_dim=vocab_size, output_dim=embed_dim)
        self.pos_emb = layers.Embedding(input_dim=maxlen, output_dim=embed_dim)

    def call(self, x):
        maxlen = ops.shape(x)[-1]
        positions = ops.arange(0, maxlen, 1)
        positions = self.pos_emb(positions)
        x = self.token_emb(x)
        return x + positions


maxlen = 12
embed_dim = 32
num_heads = 2
feed_forward_dim = 32

reviews, _ = texts()
vocab = ["", "[UNK]", *sorted({word for text in reviews for word in text.split()})]
vocab_size = len(vocab)
word_to_index = {word: index for index, word in enumerate(vocab)}
numbers = [[word_to_index[word] for word in text.split()] for text in reviews]
numbers = keras.utils.pad_sequences(numbers, maxlen=maxlen + 1, padding="post", truncating="post")
x, y = numbers[:, :-1], numbers[:, 1:]  # the word at each position, and the next one


def create_model():
    inputs = layers.Input(shape=(maxlen,), dtype="int32")
    embedding_layer = TokenAndPositionEmbedding(maxlen, vocab_size, embed_dim)
    x = embedding_layer(inputs)
    transformer_block = TransformerBlock(embed_dim, num_heads, feed_forward_dim)
    x = transformer_block(x)
    outputs = layers.Dense(vocab_size)(x)
    model = keras.Model(inputs=inputs, outputs=[outputs, x])
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(learning_rate=0.003), loss=[loss_fn, None])  # none of the embeddings
    return model


class TextGenerator(keras.callbacks.Callback):
    """Write text that goes on after some words, at the end of epochs."""

    def __init__(self, max_tokens, start_tokens, index_to_word, top_k=10, print_every=1):
        super().__init__()
        self.max_tokens = max_tokens
        self.start_tokens = start_tokens
        self.index_to_word = index_to_word
        self.print_every = print_every
        self.k = top_k
        self.rng = np.random.default_rng(0)

    def sample_from(self, logits):
        logits, indices = ops.top_k(logits, k=self.k, sorted=True)
        indices = np.asarray(indices).astype("int32")
        preds = keras.activations.softmax(ops.expand_dims(logits, 0))[0]
        preds = np.asarray(preds).astype("float64")
        return self.rng.choice(indices, p=preds / preds.sum())

    def detokenize(self, number):
        return self.index_to_word[number]

    def on_epoch_end(self, epoch, logs=None):
        start_tokens = list(self.start_tokens)
        if (epoch + 1) % self.print_every != 0:
            return
        tokens_generated = []
        while len(tokens_generated) < self.max_tokens:
            pad_len = maxlen - len(start_tokens)
            sample_index = len(start_tokens) - 1
            if pad_len < 0:
                x = start_tokens[:maxlen]
                sample_index = maxlen - 1
            else:
                x = start_tokens + [0] * pad_len
            y, _ = self.model.predict(np.array([x]), verbose=0)
            sample_token = self.sample_from(y[0][sample_index])
            tokens_generated.append(sample_token)
            start_tokens.append(sample_token)
        txt = " ".join(self.detokenize(n) for n in self.start_tokens + tokens_generated)
        print(f"generated text:\n{txt}\n")


start_prompt = "this movie is"
start_tokens = [word_to_index.get(word, 1) for word in start_prompt.split()]
text_gen_callback = TextGenerator(5, start_tokens, vocab, top_k=3)

model = create_model()
history = model.fit(x, y, batch_size=32, verbose=2, epochs=4, callbacks=[text_gen_callback], **where)
