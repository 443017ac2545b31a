"""SPARNet: spatial attention residual network (Chen et al., IEEE TIP 2020), the base of the proposed network.

Written from the paper and from facts about the released model (SPARNet-V16-S4, 10,518,867 parameters), whose licence
is non-commercial; no code of it is used here.
"""

from __future__ import annotations

from bench import register
from methods.layers.scaffold import Attention, Scaffold, draw_weights


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
