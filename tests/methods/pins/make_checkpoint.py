#!/usr/bin/env python3
"""make_checkpoint.py NAME OUT.pth: a checkpoint as NAME's authors name their tensors, filled by a formula.

What the authors' network makes of the picture below with these weights stands in expected.json (`pixels`: row, column, R, G, B of the
SR in [0, 1] before clamping, after the authors' own pre- and post-processing; `mean`, `std`, `min`, `max` over all values). Ours, after the
checkpoint was imported, must give the same to 1e-5 (SFMNet to 1e-4: its authors' own network moves by 2.4e-5 with the threads).

Rule: value = centre + spread * u, u uniform in [-1, 1] from numpy.random.RandomState(crc32(salt + key)), float32, in the tensor's own order.
centre "int": an integer 0 of that shape; "haar": rows 4c..4c+3 are the fixed filters A, H, V, D (+-1) of section 8 of networks.md.
`--write-lr FILE.png` writes the 16x16 picture; `--salt` changes the filling (the expected values hold for "given").
"""

import argparse
import csv
import lzma
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
HAAR = np.array([[[1, 1], [1, 1]], [[1, -1], [1, -1]], [[1, 1], [-1, -1]], [[1, -1], [-1, 1]]], np.float32)


def picture():
    """The input, uint8 [16, 16, 3]."""
    y, x, c = np.meshgrid(np.arange(16), np.arange(16), np.arange(3), indexing="ij")
    v = 127.5 + 90 * np.sin(0.45 * x + 0.8 * c) + 60 * np.cos(0.6 * y - 0.5 * c) + 25 * np.sin(1.7 * x + 2.1 * y + c)
    return np.floor(np.clip(v, 0, 255)).astype(np.uint8)


def tensors(name, salt="given"):
    import torch

    state = OrderedDict()
    for row in csv.DictReader(lzma.open(HERE / f"{name}.csv.xz", "rt", newline="")):
        shape = [int(n) for n in row["shape"].split("x")] if row["shape"] else []
        if row["centre"] == "int":
            state[row["key"]] = torch.zeros(shape, dtype=torch.int64)
        elif row["centre"] == "haar":
            state[row["key"]] = torch.from_numpy(np.tile(HAAR, (shape[0] // 4, 1, 1)).reshape(shape))
        else:
            u = np.random.RandomState(zlib.crc32((salt + row["key"]).encode())).uniform(
                -1, 1, int(np.prod(shape)) if shape else 1
            )
            values = (float(row["centre"]) + float(row["spread"]) * u).astype(np.float32).reshape(shape)
            state[row["key"]] = torch.from_numpy(values)
    return state


def main():
    import torch
    from PIL import Image

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(p.name.partition(".")[0] for p in HERE.glob("*.csv.xz")))
    parser.add_argument("out")
    parser.add_argument("--salt", default="given")
    parser.add_argument("--write-lr")
    options = parser.parse_args()
    state = tensors(options.name, options.salt)
    torch.save({"state_dict": state, "step": 150000} if options.name == "DIC" else state, options.out)
    if options.write_lr:
        Image.fromarray(picture()).save(options.write_lr)


if __name__ == "__main__":
    main()
