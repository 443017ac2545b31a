"""`fsr methods`."""

from __future__ import annotations

import argparse

from bench.cli.common import Command, show


def _methods(options: argparse.Namespace) -> int:
    from bench.models.listing import describe_methods, methods_text

    found = describe_methods()
    show(options, found, lambda: methods_text(found))
    return 0


COMMANDS = (Command("methods", "list the methods", _methods),)
