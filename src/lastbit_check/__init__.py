"""The checker of lastbit's certificates: small and exact. It imports nothing of lastbit."""
