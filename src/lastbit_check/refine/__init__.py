"""What makes a derivation's bound smaller: each a function of it, or of its frame."""
