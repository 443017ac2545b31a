"""`fsr bench`: metrics, cost, train, data and attention."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from bench.cli import complete
from bench.cli.common import Device, Json, Plugins, argument, option, several, show
from bench.cli.usage import Command, Group
from bench.core.limits import within

FACES = within(1, 100_000)
_SETTINGS = {"max_content_width": 120}
app = typer.Typer(cls=Group, add_completion=False, rich_markup_mode=None, context_settings=_SETTINGS)
Batch = Annotated[int | None, option("N", "faces of a batch (default: 8 of train, 16 of data)", rule=within(1, 10_000))]
Seconds = Annotated[float | None, option("S", "how long to measure (about)", rule=within(above=0, most=86_400))]


@app.callback()
def _about() -> None:
    """Measure the speed of training, data, attention and metrics, or what methods cost."""


@app.command(cls=Command)
def metrics(
    *,
    faces: Annotated[int, option("N", "faces that are scored", rule=FACES)] = 1000,
    reference_faces: Annotated[
        int | None, option("N", "time pyiqa on so many of them (default: all, minutes)", rule=FACES)
    ] = None,
    json: Json = False,
    plugin: Plugins,
) -> int:
    """PSNR, SSIM and NIQE beside pyiqa's."""
    from bench.speed.metrics import measure_metrics, metrics_text

    result = measure_metrics(faces, reference_faces)
    show(json, result, lambda: metrics_text(result))
    return 0


@app.command(cls=Command)
def cost(
    method: Annotated[
        list[str], argument("METHOD", "ids, see `fsr methods` (default: all)", complete.methods, any_number=True)
    ],
    *,
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option(help="bfloat16: by autocast")] = "float32",
    option: Annotated[
        list[str], several("NAME=VALUE", "an option of the methods that have it, e.g. width=0.125 (again for more)")
    ],
    training: Annotated[bool, typer.Option("--training", help="the memory of a training step too")] = False,
    device: Device = "auto",
    json: Json = False,
    plugin: Plugins,
) -> int:
    """Parameters, multiply-adds, latency and memory of methods."""
    from bench.core.provenance import choose_device
    from bench.speed.cost import cost_text, measure_cost, parse_options

    result = measure_cost(method, choose_device(device), dtype=dtype, options=parse_options(option), training=training)
    show(json, result, lambda: cost_text(result))
    return int(any(record["error"] for record in result["methods"]))


@app.command(cls=Command)
def train(
    *,
    batch: Batch = None,
    width: Annotated[float, option("X", "of the network", rule=within(above=0, most=16))] = 1.0,
    precision: Annotated[Literal["auto", "fp32", "bf16"], typer.Option(help="auto: all that the device has")] = "auto",
    seconds: Seconds = None,
    ladder: Annotated[bool, typer.Option("--ladder", help="time each step from the published way to ours")] = False,
    device: Device = "auto",
    json: Json = False,
    plugin: Plugins,
) -> int:
    """A training step beside the published way to train."""
    from bench.core.provenance import choose_device
    from bench.speed.train import measure_train, train_text

    given = {"batch": batch, "seconds": seconds, "precision": None if precision == "auto" else precision}
    result = measure_train(choose_device(device), width=width, ladder=ladder, **_given(given))
    show(json, result, lambda: train_text(result))
    return 0


@app.command(cls=Command)
def data(
    *, batch: Batch = None, seconds: Seconds = None, device: Device = "auto", json: Json = False, plugin: Plugins
) -> int:
    """Batches ready for a step beside a PIL pipeline's."""
    from bench.core.provenance import choose_device
    from bench.speed.data import data_text, measure_data

    result = measure_data(choose_device(device), **_given({"batch": batch, "seconds": seconds}))
    show(json, result, lambda: data_text(result))
    return 0


@app.command(cls=Command)
def attention(*, seconds: Seconds = None, device: Device = "auto", json: Json = False, plugin: Plugins) -> int:
    """Pyramid attention beside the published loop over images."""
    from bench.core.provenance import choose_device
    from bench.speed.attention import attention_text, measure_attention

    result = measure_attention(choose_device(device), **_given({"seconds": seconds}))
    show(json, result, lambda: attention_text(result))
    return 0


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}
