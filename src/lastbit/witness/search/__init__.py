"""The search for the pair of images that moves an answer most."""

from lastbit.witness.search.run import Found as Found, search as search
