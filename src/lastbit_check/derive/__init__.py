"""From a network, a question and hints to what follows from them (docs/bound.md)."""
