"""The checker of lastbit's certificates: small, independent, exact. It imports nothing of lastbit."""
