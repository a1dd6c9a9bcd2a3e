#!/usr/bin/env python3
"""Writes tests/golden/quant/NAME.bin: random blocks of each GGUF type, followed by
the floats that the reference package `gguf` (pip install gguf numpy) reads in them.

    python3 tools/gen_quant_golden.py [folder]
"""
import sys
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize

# Where the halves lie that scale a block; None: the block is itself a float.
HALVES = {
    T.F16: [0], T.BF16: None,
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.IQ4_NL: [0], T.MXFP4: [],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
    T.IQ4_XS: [0],
}
VALUES = {1: 64, 32: 160, 256: 768}


def blocks_of(kind, rng):
    n_values, n_bytes = GGML_QUANT_SIZES[kind]
    n = VALUES[n_values] // n_values
    blocks = rng.integers(0, 256, (n, n_bytes), dtype=np.uint8)
    if kind == T.BF16:  # exponents below that of infinity
        blocks[:, 1] &= 0xBF
    elif kind == T.MXFP4:  # scales whose products are normal floats
        blocks[:, 0] = rng.integers(4, 250, n)
        blocks[0, 0] = 0
    for at in HALVES[kind] or []:
        scale = (rng.standard_normal(n) * 0.05).astype(np.float16)
        scale[-1] = np.float16(-3e-6)  # negative, and a subnormal half
        blocks[:, at:at + 2] = scale.view(np.uint8).reshape(n, 2)
    return blocks


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/quant")
    folder.mkdir(parents=True, exist_ok=True)
    for kind in HALVES:
        blocks = blocks_of(kind, np.random.default_rng(int(kind)))
        values = np.concatenate([dequantize(b, kind) for b in blocks])
        assert values.dtype == np.float32 and np.isfinite(values).all()
        (folder / f"{kind.name.lower()}.bin").write_bytes(blocks.tobytes() + values.tobytes())


main()
