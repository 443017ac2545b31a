"""`fsr`, the command line.

Results for people and, with --json, one JSON document go to standard output; progress, warnings and errors go to
standard error. A mistake in what was given is one line and exit code 2. The commands are in `bench/commands`.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from bench.cli import data, experiment, fetch, methods, niqe, score, search, statistics, tools, upscale
from bench.cli.common import Command
from bench.core.errors import UserError, suggest
from bench.core.stop import Interrupted
from bench.core.version import __version__
from bench.models import registry

log = logging.getLogger("fsr")
_COMMANDS: dict[str, Command] = {
    command.name: command
    for group in (methods, data, experiment, search, score, upscale, niqe, statistics, fetch, tools)
    for command in group.COMMANDS
}


class _Parser(argparse.ArgumentParser):
    """An argument parser that names the nearest known option or command."""

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ").split()
        if message.startswith("unrecognized arguments") and unknown[0].startswith("--"):
            message = f"unknown option '{unknown[0]}': {suggest(unknown[0], self._known_options())}"
        elif choice := re.fullmatch(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message):
            (where, wrong), known = choice.groups()[:2], re.findall(r"[\w-]+", choice[3])
            what = "unknown command" if where == "COMMAND" else f"{where}: unknown value"
            message = f"{what} '{wrong}': {suggest(wrong, known)}"
        self.exit(2, f"fsr: {message}\n")

    def _known_options(self) -> set[str]:
        command = next((word for word in sys.argv[1:] if word in _COMMANDS), None)
        own: argparse.ArgumentParser = self
        if command:
            own = argparse.ArgumentParser(prog=f"fsr {command}")
            _COMMANDS[command].fill(own)
        return {option for option in own._option_string_actions if option.startswith("--")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 done, 1 a run failed, 2 bad input, 128+n stopped by signal n."""
    options = _build_parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, format="%(message)s", force=True)
    log.setLevel(logging.INFO)
    try:
        for plugin in getattr(options, "plugin", ()):
            registry.add_plugin(plugin)
        code: int = options.run(options)
        return code
    except UserError as error:
        log.error("fsr: %s", error)
        return 2
    except OSError as error:
        if error.strerror is None:
            raise
        log.error("fsr: %s: %s", error.filename or "writing", error.strerror)
        return 2
    except Interrupted as stopped:
        log.error("fsr: stopped: %s; the same command goes on from there", stopped)
        return 128 + stopped.signum
    except KeyboardInterrupt:
        log.error("fsr: stopped")
        return 130


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fsr", description="A benchmark and ablation suite for face super-resolution.")
    parser.add_argument("--version", action="version", version=f"fsr-bench {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS.values():
        about = command.about
        command.fill(commands.add_parser(command.name, help=about, description=about[0].upper() + about[1:] + "."))
    return parser


if __name__ == "__main__":
    sys.exit(main())
