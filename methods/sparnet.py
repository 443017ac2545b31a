"""SPARNet: spatial attention residual network (Chen et al., IEEE TIP 2020), the base of the proposed network.

Written from the paper and from facts about the released model (SPARNet-V16-S4, 10,518,867 parameters), whose licence
is non-commercial; no code of it is used here.
"""

from __future__ import annotations

import re

from bench import register
from methods.layers.hourglass import released_name
from methods.layers.keys import rename
from methods.layers.scaffold import BODY_DEPTH, DECODER_DEPTHS, ENCODER_DEPTHS, Attention, Scaffold, draw_weights

_NAMES = [  # the released names, and ours
    (r"encoder\.0\.conv2d\.(.+)", r"head.conv.\1"),
    (r"out_conv\.conv2d\.(.+)", r"tail.conv.\1"),
    (r"shortcut_func\.conv2d\.(.+)", r"shortcut.conv.\1"),
    (r"preact_func\.0\.norm\.(.+)", r"before.0.\1"),
    (r"(conv[12])\.conv2d\.(.+)", r"\1.conv.\2"),
    (r"(conv[12])\.norm\.norm\.(.+)", r"\1.norm.\2"),
    (r"att_func\.out_block\.0\.conv2d\.(.+)", r"hourglass.to_attention.conv.\1"),
]
_BLOCK = re.compile(r"(encoder|res_layers|decoder)\.(\d+)\.(.+)")


@register(
    "sparnet",
    title="SPARNet",
    year=2020,
    paper="Chen et al., Learning Spatial Attention for Face Super-Resolution",
    venue="IEEE TIP 30:1219-1231",
    licence="CC BY-NC-SA 4.0",
    published_parameters=10_520_000,
    tags=["cnn", "attention"],
    scales=[2, 4, 8, 16],
    variants={
        "sparnet-3d": {
            "title": "SPARNet-3D",
            "published_parameters": None,
            "options": {"attention": "3d"},
        },
        "sparnet-light": {
            "title": "SPARNet-Light-Attn3D",
            "published_parameters": 5_240_000,
            "options": {"attention": "3d", "deep_blocks": 1},
        },
    },
)
class SPARNet(Scaffold):
    """Enlarge faces with residual blocks that weigh places ("2d") or places and channels ("3d") by attention.

    `deep_blocks` is the number of blocks at LR size, `width` multiplies every channel count, `branch_gain` is how much
    of each block's branch is let through at the start of training (see draw_weights).
    """

    def __init__(
        self,
        scale: int = 8,
        *,
        width: float = 1.0,
        branch_gain: float = 1.0,
        deep_blocks: int = 10,
        attention: Attention = "2d",
    ) -> None:
        super().__init__(scale, width, deep_blocks, attention)
        draw_weights(self, width, branch_gain)

    @staticmethod
    def authors_key(key: str) -> str | None:
        """Return our name of a tensor of the released networks, None for one that they have not."""
        if (block := _BLOCK.fullmatch(key)) and not key.startswith("encoder.0."):
            part, number, inner = block[1], int(block[2]), block[3]
            number -= part == "encoder"
            depths = {"encoder": ENCODER_DEPTHS, "decoder": DECODER_DEPTHS}.get(part)
            if depths and number >= len(depths):
                return None
            level = released_name(inner.removeprefix("att_func."), depths[number] if depths else BODY_DEPTH)
            ours = f"hourglass.levels.{level}" if level else rename(inner, _NAMES)
            return ours and f"{'body' if part == 'res_layers' else part}.{number}.{ours}"
        return rename(key, _NAMES[:2])
