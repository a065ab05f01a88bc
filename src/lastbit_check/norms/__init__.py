"""The bound by Euclidean norms, for all images (docs/bound.md, section 9)."""
