"""`fsr`, the command line.

Results for people and, with --json, one JSON document go to standard output; progress, warnings and errors go to
standard error. Invalid input prints one line and exits with 2. A command is a function of the module that `COMMANDS`
names, which is imported when that command is asked for.
"""

from __future__ import annotations

import errno
import importlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.groups import GROUPS, examples
from bench.cli.usage import Command, Group, usage_message
from bench.core.errors import UserError
from bench.core.stop import EndedError, Interrupted, contained
from bench.core.streams import finish_output, lost_output, prepare_streams
from bench.core.version import __version__

if TYPE_CHECKING:
    from typer._click import Command as AnyCommand
    from typer._click import Context, HelpFormatter

log = logging.getLogger("fsr")
_SETTINGS = {"max_content_width": 120}
_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF)  # of the machine, not of what was asked
_ROOM = "; make room, then give the same command again"
_WAYS_OUT = {errno.ENOSPC: _ROOM, errno.EDQUOT: _ROOM}
COMMANDS = {  # name -> where its function is, what it does
    "list": ("listing:list_names", "list methods, experiments, profiles, protocols, metrics or data sets by name"),
    "methods": ("methods:methods", "list the methods with their parameters and multiply-adds"),
    "new-method": ("new_method:new_method", "write a method that runs, and its test, to start from"),
    "prepare": ("data:prepare", "make a data set's faces from photos or, where its card says so, from seeds"),
    "data": ("data:data", "list, show, verify, audit or export prepared faces"),
    "plan": ("experiment:plan", "show what an experiment would run and how long it takes"),
    "run": ("experiment:run", "train, score and report an experiment; done runs are not repeated"),
    "status": ("results:status", "show how the runs of an experiment are doing"),
    "verify": ("results:verify", "check records, weights, curves and scores of runs, and how sound their networks are"),
    "archive": ("results:archive", "keep finished runs in results/reference, small enough to be committed"),
    "migrate": ("results:migrate", "bring an older version's results to the present layout"),
    "report": ("results:report", "redraw tables and figures from results alone"),
    "export": ("export:export", "print a table of an experiment as LaTeX for a paper"),
    "figure": ("figure:figure", "draw a grid of faces by several methods, for print"),
    "search": ("search:search", "search a method's hyper-parameters on validation faces (no ablation)"),
    "metrics": ("metrics:metrics", "list the metrics"),
    "score": ("score:score", "score a method on a data set, or anybody's pictures, with intervals"),
    "claims": ("claims:claims", "judge the papers' claims: verdict, interval and probability of each"),
    "compare": ("compare:compare", "compare two rows, runs or scores: the difference of each metric, with intervals"),
    "upscale": ("upscale:upscale", "super-resolve the faces of photos by a trained network"),
    "fit-niqe": ("metrics:fit_niqe", "fit NIQE's pristine Gaussian to pictures of one's own"),
    "power": ("statistics:power", "tell how many images and seeds a gain takes, from measured variances"),
    "rank": ("statistics:rank", "rank rows over data sets, with Friedman's test and critical difference"),
    "fetch": ("metrics:fetch", "get the weights of learned metrics, once"),
    "bench": ("speed:app", "measure the speed of training, data, attention and metrics, or what methods cost"),
}


class Commands(Group):
    """The commands of `COMMANDS`, each imported when it is asked for."""

    def list_commands(self, ctx: Context) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> AnyCommand | None:
        """Import a command and return it; raise UserError with the nearest name where there is none."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            where, about = COMMANDS[cmd_name]
            module, _, name = where.partition(":")
            target = getattr(importlib.import_module(f"bench.cli.{module}"), name)
            if not isinstance(target, typer.Typer):
                function, target = target, typer.Typer(add_completion=False, rich_markup_mode=None)
                about = about[0].upper() + about[1:] + "."
                example = f"Example: {examples()[cmd_name]}"
                target.command(cmd_name, cls=Command, help=about, epilog=example, context_settings=_SETTINGS)(function)
            self.commands[cmd_name] = typer.main.get_command(target)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the commands by groups, without importing them, and where to go on."""
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, COMMANDS[name][1]) for name in names if name in COMMANDS])


_root = typer.Typer(
    name="fsr",
    cls=Commands,
    rich_markup_mode=None,
    context_settings=_SETTINGS,
    epilog="`fsr COMMAND --help` has the options of a command and an example.",
)


@_root.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=lambda value: _show_version(value), help="show it")
    ] = False,
) -> None:
    """Benchmark face super-resolution and its ablations."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fsr-bench {__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 done, 1 a run failed, 2 bad input, 128+n stopped by signal n."""
    prepare_streams()
    logging.basicConfig(stream=sys.stderr, format="%(message)s", force=True)
    log.setLevel(logging.INFO)
    try:
        code = _answer([_at_home(argument) for argument in (sys.argv[1:] if arguments is None else arguments)])
        finish_output()
        return code
    except UserError as error:
        log.error("fsr: %s", error)
        return 2
    except typer.TyperException as error:
        log.error("fsr: %s", usage_message(error))
        return 2
    except OSError as error:
        lost = lost_output()
        if isinstance(lost, BrokenPipeError):
            return 128 + signal.SIGPIPE
        if (lost or error).strerror is None:
            raise
        where, way_out = "standard output" if lost else error.filename or "writing", _WAYS_OUT.get(error.errno or 0, "")
        log.error("fsr: %s: %s%s", where, (lost or error).strerror, way_out)
        return 1 if error.errno in _FAILURES else 2
    except EndedError as error:
        log.error("fsr: %s", error)
        return 1
    except Interrupted as stopped:
        log.error("fsr: stopped: %s; the same command goes on from there", stopped)
        return 128 + stopped.signum
    except KeyboardInterrupt:
        log.error("fsr: stopped")
        return 130


def _at_home(argument: str) -> str:
    """Return an argument with the user's folder for a "~" that the shell left: quoted, or as in --out=~/faces."""
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    if value != "~" and not value.startswith("~/"):
        return argument
    return f"{option}{equals}{Path(value).expanduser()}{'/' * value.endswith('/')}"


def _answer(arguments: list[str]) -> int:
    """Run the command that is asked for, or answer a shell that asks for completions; return the exit code."""
    command = typer.main.get_command(_root)
    if "_FSR_COMPLETE" in os.environ:
        command.main(prog_name="fsr")  # ends the process
    try:
        with contained(), command.make_context("fsr", arguments) as context:
            code: int = command.invoke(context)
            return code
    except typer.Exit as end:  # after --help and --version
        return end.exit_code


if __name__ == "__main__":
    sys.exit(main())
