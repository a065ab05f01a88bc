"""MNIST, verified by SHA-256 wherever it comes from; and other images that a person has."""

from lastbit.data.fetch import Fetched as Fetched, fetch as fetch
from lastbit.data.labelled import (
    LabelledImages as LabelledImages,
    read_labelled as read_labelled,
)
from lastbit.data.mnist import load_mnist as load_mnist
from lastbit.data.score import score as score
