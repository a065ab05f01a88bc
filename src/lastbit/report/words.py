"""What is assumed, in plain words, by the names that stand in certificates."""

from __future__ import annotations

ASSUMED = {
    "any-order-binary32": "Each operation rounds by at most one part in 2^24 (and 2^-126 near 0), "
    "and returns the exact result where that is a number of its own. Sums are added in any order.",
    "computed-once": "A value that several operators read is one number, computed once or each "
    "time to the same bits.",
    "exp-relative-2^-20": "The exponential inside softmax is right to one part in 2^20.",
    "rewritten-sum-scale-hide": "A runtime rewrites the network in three ways only: additions join "
    "the sum before them, constant factors are multiplied into weights, and values need not be "
    "stored in between.",
    "softmax-max-subtracted": "Softmax subtracts the largest logit first, and returns numbers from "
    "0 to 1.",
    "binary32-values": "What one operator hands to the next is a float32 number.",
    "deterministic": "The same program makes the same bits of the same bits.",
    "sigmoid-absolute-4u-2u-u/16": "The runtime's sigmoid is within 2^-22 of the true one, and "
    "closer where its argument is small.",
    "silu-absolute-6u|z|-3u|z|-u|z|/16": "The runtime's SiLU of z is within 6 |z| / 2^24 of the "
    "true one, and closer where z is small.",
    "hardsigmoid-absolute-4u": "The runtime's hard sigmoid is within 2^-22 of the true one.",
    "hardswish-absolute-6u|z|": "The runtime's hard swish of z is within 6 |z| / 2^24 of the true "
    "one.",
    "erf-absolute-20u": "The runtime's error function is within 20 / 2^24 of the true one.",
    "gelu-absolute-16u|z|": "The runtime's GELU of z is within 16 |z| / 2^24 of the true one.",
    "gelutanh-absolute-12u|z|": "The runtime's GELU by tanh of z is within 12 |z| / 2^24 of the "
    "true one.",
    "elu-absolute-4u|ga|": "The runtime's ELU (SELU and CELU are such) of a negative number is "
    "within 4 parts in 2^24, of what it tends to at minus infinity, of the true one; of other "
    "numbers it is the number, or its product with the factor.",
    "softplus-absolute-4u-2u|z|": "The runtime's softplus of z is within (4 + 2 |z|) / 2^24 of the "
    "true one.",
    "softsign-relative-4u": "The runtime's softsign is right to 4 parts in 2^24.",
    "mish-absolute-12u|z|": "The runtime's Mish of z is within 12 |z| / 2^24 of the true one.",
    "power-relative-nu": "The runtime's n-th power (n is 2, 3 or 4) is right to n parts in 2^24.",
    "tanh-relative-12u": "The runtime's tanh is right to 12 parts in 2^24.",
}
"""Of every name that a certificate may have; docs/bound.md, section 2, says the same in full."""

PARTS = {
    "first_layer": "first layers",
    "remainder": "remainder",
    "rounding": "rounding",
    "softmax": "softmax",
}
"""What U consists of: the change that the first layers let through, what curves add after them,
roundings, and softmax's own error."""
