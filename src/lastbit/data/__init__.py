"""MNIST, verified by SHA-256 wherever it comes from; and other images that a person has."""

from lastbit.data.fetch import Fetched as Fetched, fetch as fetch
from lastbit.data.image_set import ImageSet as ImageSet, image_set as image_set
from lastbit.data.labelled import (
    LabelledImages as LabelledImages,
    read_labelled as read_labelled,
)
from lastbit.data.mnist import load_mnist as load_mnist
from lastbit.data.opened import open_images as open_images
from lastbit.data.score import score as score
from lastbit.data.stored import StoredImages as StoredImages
