"""MNIST: the four canonical files, verified by SHA-256 wherever they come from."""

from lastbit.data.fetch import Fetched as Fetched, fetch as fetch
from lastbit.data.mnist import Mnist as Mnist, load_mnist as load_mnist
from lastbit.data.score import score as score
