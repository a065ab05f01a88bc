"""Write the files beside it anew: what Keras and scikit-learn export of small networks.

    python tests/graph/exports/make.py

needs keras, scikit-learn, skl2onnx, onnxscript and torch; the files are from Keras 3.15 (with
PyTorch below it), scikit-learn 1.9 and skl2onnx 1.20. Each is as it was exported.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
os.environ["KERAS_BACKEND"] = "torch"


def keras_models() -> dict[str, Any]:
    """Images with their channels last: of bytes that are scaled inside, and of colours."""
    import keras

    layers, model = keras.layers, keras.Sequential
    of_bytes = model([
        keras.Input((12, 12, 1)), layers.Rescaling(1 / 255.0),
        layers.Conv2D(4, 3, strides=2, padding="same"), layers.BatchNormalization(), layers.ReLU(),
        layers.DepthwiseConv2D(3, padding="same"), layers.Activation("silu"),
        layers.MaxPooling2D(2), layers.Flatten(), layers.Dropout(0.5),
        layers.Dense(8, activation="relu"), layers.Dense(5, activation="softmax"),
    ])  # fmt: skip
    vectors = model([
        keras.Input((36,)), layers.Dense(8, activation="tanh"),
        layers.Dense(5, activation="softmax"),
    ])  # fmt: skip
    image = keras.Input((12, 12, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu6")(image)
    x = layers.Add()([x, layers.SeparableConv2D(4, 3, padding="same")(x)])
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(4, 1, activation="sigmoid")(gate)
    x = layers.GlobalAveragePooling2D()(layers.Multiply()([x, gate]))
    gated = keras.Model(image, layers.Dense(5)(x))
    return {"keras-bytes": of_bytes, "keras-gated": gated, "keras-vectors": vectors}


def write_keras() -> None:
    import keras

    keras.utils.set_random_seed(0)
    for name, model in keras_models().items():
        model(keras.random.uniform((1, *model.input_shape[1:])))
        model.export(str(HERE / f"{name}.onnx"), format="onnx", verbose=False)


def write_sklearn() -> None:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(0)
    images, labels = random.random((200, 36), np.float32), random.integers(0, 5, 200)
    mlp = {f: MLPClassifier((8,), activation=f, max_iter=5, random_state=0)
           for f in ("relu", "logistic", "tanh")}  # fmt: skip
    models = {
        "sklearn-relu": (mlp["relu"], labels, {}),
        "sklearn-logistic": (mlp["logistic"], labels, {"zipmap": False}),
        "sklearn-scaled": (make_pipeline(StandardScaler(), mlp["tanh"]), labels, {}),
        "sklearn-names": (MLPClassifier((8,), max_iter=5, random_state=0),
                          np.array([*"abcde"])[labels], {"zipmap": False}),
        "sklearn-two": (MLPClassifier((8,), max_iter=5, random_state=0), labels % 2, {}),
        "sklearn-linear": (LogisticRegression(), labels, {}),
    }  # fmt: skip
    for name, (model, classes, options) in models.items():
        model.fit(images, classes)
        last = model[-1] if hasattr(model, "steps") else model
        proto = to_onnx(model, images[:1], options={id(last): options} if options else None)
        (HERE / f"{name}.onnx").write_bytes(proto.SerializeToString())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    write_sklearn()
    write_keras()
