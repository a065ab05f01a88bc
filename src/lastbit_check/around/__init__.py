"""The bound at an image: how far an execution may be from a reference in float64."""
