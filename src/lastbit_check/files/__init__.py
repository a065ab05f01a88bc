"""How a model's file is read: every field of it known, and understood in one way only."""
