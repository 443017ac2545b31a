"""How typer's commands behave here: options that take several values, and mistakes told in one line with a way out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from bench.core.errors import UserError, suggest
from bench.core.limits import check_plain

if TYPE_CHECKING:
    from typer._click import Command as AnyCommand
    from typer._click import Context, HelpFormatter


class Command(TyperCommand):
    """A command whose options with a metavar that ends in "..." take several values at once, as in `--source A B`.

    Values that are empty and numbers that are none are refused, whatever the option.
    """

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Give each further value of such an option the option's name, and parse."""
        _check_words(args)
        several = {
            name
            for option in self.params
            if str(getattr(option, "metavar", "")).endswith("...")
            for name in option.opts
        }
        spread: list[str] = []
        option, values = "", 0
        for word in args:
            if word.startswith("-"):
                option, values = word if word in several else "", 0
            elif option:
                spread += [option] if values else []
                values += 1
            spread.append(word)
        rest = super().parse_args(ctx, spread)
        for param in self.params:
            check_plain(ctx.params.get(str(param.name)), param.opts[0])
        return rest

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write arguments and options; an argument by its name alone, not with its type in Python."""
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            params: list[Any] = [param for param in self.get_params(ctx) if param.param_type_name == kind]
            rows = [row for row in (param.get_help_record(ctx) for param in params) if row is not None]
            if kind == "argument":
                rows = [(name.partition(" <")[0], about) for name, about in rows]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _check_words(words: Sequence[str]) -> None:
    """Raise UserError for an empty word, which programs take for the current folder, a default or nothing."""
    for before, word in zip(["", *words], words, strict=False):
        name, equals, value = word.partition("=") if word.startswith("--") else (before, "=", word)
        if equals and not value.strip():
            raise UserError(f"{name if name.startswith('-') else 'argument'}: {value!r} given, expected a value")


class Group(TyperGroup):
    """A group of commands that names the nearest one for a name that it does not know."""

    def get_params(self, ctx: Context) -> list[Any]:
        """Return the options; flags are off, not None, which typer would import pydantic to convert."""
        params: list[Any] = super().get_params(ctx)
        for param in params:
            param.default = bool(param.default) if getattr(param, "is_flag", False) else param.default
        return params

    def get_command(self, ctx: Context, cmd_name: str) -> AnyCommand | None:
        """Return a command; raise UserError where there is none."""
        command = super().get_command(ctx, cmd_name)
        if command is None and not ctx.resilient_parsing and not cmd_name.startswith("-"):
            raise UserError(f"unknown command '{cmd_name}': {suggest(cmd_name, self.list_commands(ctx))}")
        return command


def usage_message(error: typer.TyperException) -> str:
    """Return what is wrong with the arguments in one line, with the nearest known option or choice."""
    context: Any = getattr(error, "ctx", None)
    option, param = getattr(error, "option_name", None), getattr(error, "param", None)
    if option and error.message.startswith("No such option"):
        known = [name for param in context.command.get_params(context) for name in param.opts if name[:2] == "--"]
        return f"unknown option '{option}': {suggest(option, known)}"
    if error.__cause__ is not None and param is not None:
        return _invalid_value(param.opts[0], error.__cause__)
    message = " ".join(error.format_message().split()).rstrip(".")
    if extra := re.fullmatch(r"Got unexpected extra argument\(s\) \((.*)\)", message):
        return f"unexpected argument '{extra[1]}'; see `{context.command_path} --help`"
    if message.startswith("Missing"):
        message += f"; see `{context.command_path} --help`"
    return message[0].lower() + message[1:]


def _invalid_value(name: str, cause: Any) -> str:
    """Return what is wrong with an option's value, from pydantic's validation error."""
    problem = cause.errors()[0]
    message: str = problem["msg"].removeprefix("Value error, ")
    if choice := re.fullmatch(r"'(.*)' is not one of (.*)\.", message):
        known = re.findall(r"'(.*?)'", choice[2])
        return f"{name}: unknown value '{choice[1]}': {suggest(choice[1], known)}"
    return f"{name} {problem['input']}: " + message.replace("Input should be", "expected").partition(",")[0]
