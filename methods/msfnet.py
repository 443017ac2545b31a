"""The proposed network: multi-scale feature fusion and structure preservation (Yang et al., Applied Sciences 2023).

SPARNet's scaffold with three additions: ESEM beside the hourglass in every block, pyramid attention (PA) in the deep
module and feature enhancement modules (FEM) in the upscale module. The paper's figures show the wiring; where its text
leaves a choice, the choice is an option here and the default is named beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from bench import register
from methods.layers.cross_conv import ESEM
from methods.layers.eca import EcaRule
from methods.layers.feature_enhancement import FEM, FemAlign, FemMerge
from methods.layers.pyramid_attention import SCALES, PaScope, PyramidAttention
from methods.layers.scaffold import Attention, Fuse, Scaffold, draw_weights


@register(
    "msfnet",
    title="MSFNet (proposed)",
    year=2023,
    paper="Yang et al., Multi-Scale Feature Fusion and Structure-Preserving Network for Face Super-Resolution",
    venue="Applied Sciences 13(15):8928",
    licence="no code released",
    tags=["cnn", "attention", "multi-scale"],
    scales=[2, 4, 8, 16],
    # Nothing is fused without ESEM; "add", once the default, keeps the names of runs that did not change with it. All
    # literals: they are read without an import of torch.
    variants={
        "msfnet-1": {"title": "Model 1", "options": {"esem": False, "msrb_fuse": "add", "pa": False, "fem": False}},
        "msfnet-2": {"title": "Model 2", "options": {"esem": False, "msrb_fuse": "add", "pa": False, "fem": True}},
        "msfnet-3": {"title": "Model 3", "options": {"esem": False, "msrb_fuse": "add", "pa": True, "fem": False}},
        "msfnet-4": {"title": "Model 4", "options": {"esem": True, "pa": False, "fem": False}},
        "msfnet-5": {"title": "Model 5", "options": {"esem": True, "pa": True, "fem": False}},
        "msfnet-6": {"title": "Model 6", "options": {"esem": True, "pa": False, "fem": True}},
        "msfnet-7": {"title": "Model 7", "options": {"esem": False, "msrb_fuse": "add", "pa": True, "fem": True}},
        "msfnet-8": {"title": "Model 8", "options": {"esem": True, "pa": True, "fem": True}},
    },
)
class MSFNet(Scaffold):
    """Enlarge faces with multi-scale residual blocks, pyramid attention and feature enhancement.

    `width` multiplies every channel count; `branch_gain` is how much of each block's branch is let through at the start
    of training (see draw_weights). Readings of the paper, the default first:

    - `deep_blocks`: 10 as in SPARNet ("all parameters are kept consistent with the original network", section 4.3), or
      1 ("both a MSRB and a PA module", section 3.1, to the letter).
    - `pa_position`: "post" (section 3.1's order of the two), "mid" of the blocks (PANet's choice) or "pre". One module,
      at LR size: that size fits "F_1 shares the dimensions of I_LR" and the authors' 8 GB of GPU memory.
    - `pa_scales`, `pa_scope`: PANet's levels and one softmax over all of them (equation 9).
    - `msrb_fuse`: how hourglass and ESEM make F_scale (section 3.2 does not say): "sigmoid-sum", which has a bound, or
      another of AttentionBlock's. "add", the default of runs before November 2026, squares features from block to
      block; before saturated colours the output of some of those runs left all range.
    - `attention`: one map a block as in SPARNet, or one a channel.
    - `ccb_kernel`: m of the three cross convolution blocks, 3 as in Cross-SRN; `ccb_convs`: cross convolutions in each;
      `ccb_depthwise`: Cross-SRN's depthwise term, which the paper's text lacks (section 3.3).
    - `esem_fuse_kernel`, `esem_residual`: the two convolutions of H_fuse and the sum with the input (equation 5).
    - `eca_rule`: equation 8 contradicts itself; see eca_kernel.
    - `fem_place`: "before" each MSRB of the upscale module (section 3.5) or "after" it.
    - `fem_merge`, `fem_align`: see FEM; section 3.5 aligns by pooling.
    - `skip_add`: the plain addition of same-size encoder features in equation 4; the text has it done by the FEM.
    """

    def __init__(
        self,
        scale: int = 8,
        *,
        width: float = 1.0,
        branch_gain: float = 1.0,
        esem: bool = True,
        pa: bool = True,
        fem: bool = True,
        deep_blocks: int = 10,
        attention: Attention = "2d",
        msrb_fuse: Fuse = "sigmoid-sum",
        pa_position: Literal["post", "mid", "pre"] = "post",
        pa_scales: tuple[float, ...] = SCALES,
        pa_scope: PaScope = "joint",
        ccb_kernel: tuple[int, ...] = (3, 3, 3),
        ccb_convs: Literal[2, 1] = 2,
        ccb_depthwise: bool = False,
        esem_fuse_kernel: Literal[3, 1] = 3,
        esem_residual: bool = True,
        eca_rule: EcaRule = "public",
        fem_place: Literal["before", "after"] = "before",
        fem_merge: FemMerge = "concat-eca",
        fem_align: FemAlign = "pool",
        skip_add: bool = False,
    ) -> None:
        def structure(channels: int) -> nn.Module:
            return ESEM(
                channels,
                kernels=ccb_kernel,
                convs=ccb_convs,
                depthwise=ccb_depthwise,
                fuse_kernel=esem_fuse_kernel,
                residual=esem_residual,
                eca_rule=eca_rule,
            )

        super().__init__(scale, width, deep_blocks, attention, structure if esem else None, msrb_fuse)
        self.pa_at = {"pre": 0, "mid": deep_blocks // 2, "post": deep_blocks}[pa_position]
        self.pa = PyramidAttention(self.widths[-1], scales=pa_scales, scope=pa_scope) if pa else None
        self.fem_place, self.skip_add = fem_place, skip_add
        self.fem = self._fems(fem_place, fem_merge, fem_align, eca_rule) if fem else None
        draw_weights(self, width, branch_gain)

    def _fems(self, place: str, merge: FemMerge, align: FemAlign, eca_rule: EcaRule) -> nn.ModuleList:
        """Return the three FEMs; encoder feature F_i has channels `widths[i]` and HR size / 2^i."""
        # Decoder stage j (1 to 3) turns size HR / 2^(4-j) into HR / 2^(3-j).
        levels = (3, 2, 1) if place == "before" else (2, 1, 0)
        return nn.ModuleList(
            FEM(
                self.widths[level],
                [(self.widths[i], level - i) for i in (1, 2, 3)],
                merge=merge,
                align=align,
                eca_rule=eca_rule,
            )
            for level in levels
        )

    def deep(self, x: Tensor) -> Tensor:
        """Run the blocks at LR size, pyramid attention among them."""
        for index, block in enumerate(self.body):
            if self.pa is not None and index == self.pa_at:
                x = self.pa(x)
            x = block(x)
        return self.pa(x) if self.pa is not None and self.pa_at == len(self.body) else x

    def decode(self, x: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Bring deep features to HR size, refined by the encoder's features (equation 4, section 3.5)."""
        for stage, block in enumerate(self.decoder):
            if self.fem is not None and self.fem_place == "before":
                x = self.fem[stage](x, features[1:])
            x = block(x)
            if self.fem is not None and self.fem_place == "after":
                x = self.fem[stage](x, features[1:])
            if self.skip_add:
                x = x + features[2 - stage]
        return x
