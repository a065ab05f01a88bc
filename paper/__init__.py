"""PROOF.md, its PDF and the map of the proof, written from the certificates and the sources."""
