"""`fsr new-method`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from bench.cli.common import Json, Plugins, argument, check_out_folder, option, show


def new_method(
    name: Annotated[str, argument("NAME", "its id: small letters, digits, '.', '_' and '-', as in my-net")],
    *,
    out: Annotated[Path, option("DIR", "the folder that both files are written to")] = Path(),
    json: Json = False,
    plugin: Plugins,
) -> int:
    from bench.models.new_method import write_method

    check_out_folder(out)
    method, test = write_method(name, out)
    plugin_file = shlex.quote(str(method))
    lines = [
        f"written: {method}, {test}",
        f"its test:        python -m pytest {shlex.quote(str(test))}",
        f"its size:        fsr methods --plugin {plugin_file}",
        f"a row of tables: fsr run ablation --plugin {plugin_file} --add {name}",
    ]
    show(json, {"method": str(method), "test": str(test)}, lambda: "\n".join(lines))
    return 0
