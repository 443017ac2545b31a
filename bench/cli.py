"""`fsr`, the command line.

Results for people and, with --json, one JSON document go to standard output; progress, warnings and errors go to
standard error. A mistake in what was given is one line and exit code 2. Nothing here imports torch before a command
needs it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bench import __version__, paths, registry
from bench.errors import UserError, suggest
from bench.stop import Interrupted

if TYPE_CHECKING:
    from bench.data.photoset import Wish
    from bench.data.store import FaceStore
    from bench.experiment import Faces, Job

log = logging.getLogger("fsr")


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
        own = _build_parser_of(command)._option_string_actions if command else self._option_string_actions
        return {option for option in own if option.startswith("--")}


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


def _methods(options: argparse.Namespace) -> int:
    from bench.methods_table import describe_methods, methods_text

    found = describe_methods()
    _show(options, found, lambda: methods_text(found))
    return 0


def _prepare(options: argparse.Namespace) -> int:
    from bench.prepare import prepare

    sizes = {split: getattr(options, split) for split in ("train", "val", "test")}
    stores = prepare(options.dataset, _wish(options), sizes=sizes, quiet=options.json)
    return _show_stores(options, stores)


def _data(options: argparse.Namespace) -> int:
    from bench import datasets_table as table

    if options.what == "show":
        files = [str(table.write_contact(store, options.faces)) for store in table.stores_of(options.name)]
        _show(options, {"written": files}, lambda: "written: " + ", ".join(files))
    elif options.what == "verify":
        found = [table.verify(store) for store in table.stores_of(options.name)]
        _show(options, found, lambda: "\n".join(f"{one['path']}: {one['verdict']}" for one in found))
    elif options.what == "audit":
        from bench.prepare import write_audit
        from bench.report.audit import audit_page

        audits = [
            write_audit(name, fresh=True)
            for name in dict.fromkeys(store.dataset for store in table.stores_of(options.name))
        ]
        _show(options, audits, lambda: "\n".join(map(audit_page, audits)))
    else:
        rows = table.describe(options.name)
        _show(options, rows, lambda: table.to_text(rows))
    return 0


def _plan(options: argparse.Namespace) -> int:
    from bench.experiment import cells
    from bench.plan import make_plan
    from bench.provenance import choose_device
    from bench.schedule.local import choose_jobs

    device = choose_device(options.device)
    job, faces = _open_job(options)
    planned = cells(job, faces)
    plan = make_plan(job, planned, faces, device, choose_jobs(options.jobs, len(planned), device))
    _show(options, plan.to_json(), plan.to_text)
    return 0


def _run(options: argparse.Namespace) -> int:
    from bench.experiment import SAMPLES, cells, write_experiment
    from bench.plan import make_plan
    from bench.provenance import choose_device
    from bench.report.build import build_report
    from bench.schedule.local import choose_jobs, execute

    device = choose_device(options.device)
    job, faces = _open_job(options)
    planned = cells(job, faces)
    jobs = choose_jobs(options.jobs, len(planned), device)
    plan = make_plan(job, planned, faces, device, jobs)
    log.info("%s\n", plan.to_text())
    write_experiment(job, faces, planned)
    outcomes = execute(planned, faces, device, samples=SAMPLES, jobs=jobs, quiet=options.json)
    files = build_report(job.folder, paths.reports() / job.name)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    result = {
        "name": job.name,
        "plan": plan.to_json(),
        "runs": [{"run": o.run, "status": o.status, "error": o.error or None} for o in outcomes],
        "report": [str(file) for file in files],
    }
    _show(options, result, lambda: _report_text(files))
    for outcome in failed:
        log.error("fsr: run %s failed: %s", outcome.run, outcome.error)
    return 2 if any(outcome.bad_input for outcome in failed) else min(len(failed), 1)


def _score(options: argparse.Namespace) -> int:
    from bench.provenance import choose_device
    from bench.score import score_method

    result = score_method(
        options.method,
        options.weights,
        options.data,
        options.split,
        options.faces,
        choose_device(options.device),
        degradation=options.degradation,
        scale=options.scale,
    )
    _show(options, result, lambda: "\n".join(f"{m['metric']}: {m['mean']:.4f} {m['unit']}" for m in result["metrics"]))
    return 0


def _report(options: argparse.Namespace) -> int:
    from bench.report.build import build_report

    own = sorted(path.parent.name for path in paths.results().glob("*/experiment.json"))
    names = options.experiment or own
    if not names:
        raise UserError(f"{paths.results()}: no results yet; run `make ablation` or `fsr run ablation` first")
    known = own + sorted(
        f"reference/{path.parent.name}" for path in paths.results().glob("reference/*/experiment.json")
    )
    for name in names:
        if name not in known:
            raise UserError(f"no results of '{name}' in {paths.results()}: {suggest(name, known)}")
    files = [file for name in names for file in build_report(paths.results() / name, paths.reports() / name)]
    _show(options, {"report": [str(file) for file in files]}, lambda: _report_text(files))
    return 0


def _open_job(options: argparse.Namespace) -> tuple[Job, Faces]:
    """Read the job that the options ask for and open its faces, preparing the default faces where needed."""
    from bench.experiment import DEFAULT_DATA, load_job, open_faces
    from bench.prepare import prepare

    job = load_job(options.experiment, options.profile, options.data, options.add, options.set)
    if options.source:
        prepare(job.data, _wish(options), quiet=options.json)
    elif job.data == DEFAULT_DATA:
        size = job.profile.generate
        prepare(job.data, sizes=dataclasses.asdict(size), quiet=options.json)
    return job, open_faces(job)


def _show(options: argparse.Namespace, value: Any, text: Callable[[], str]) -> None:
    """Print the result: as one JSON document with --json, else as text."""
    print(json.dumps(value, indent=2, allow_nan=False) if options.json else text())


def _report_text(files: Sequence[Path]) -> str:
    """Return the first Markdown table of a report, and where everything lies."""
    table = next((file.read_text(encoding="utf-8") for file in files if file.name == "table1.md"), "")
    return table + "\nwritten: " + ", ".join(str(file) for file in files)


def _show_stores(options: argparse.Namespace, stores: Sequence[FaceStore]) -> int:
    """Print what was prepared and where its audit is."""
    found = [
        {
            "dataset": store.dataset,
            "split": store.split,
            "faces": len(store),
            "fingerprint": store.fingerprint,
            "path": str(store.path),
            "counts": store.card.get("counts", {}),
        }
        for store in stores
    ]
    audit = stores[0].path.parent / "audit.md"
    _show(options, found, lambda: "\n".join([*map(_store_line, found), f"audit: {audit}"]))
    return 0


def _wish(options: argparse.Namespace) -> Wish:
    """Return what is asked of photographs; `fsr run --source` has defaults alone."""
    from bench.data.photoset import Wish
    from bench.data.pool import cores
    from bench.data.scan import How

    given = {one.name: getattr(options, one.name) for one in dataclasses.fields(Wish) if hasattr(options, one.name)}
    jobs = getattr(options, "processes", 0) or cores()
    return Wish(**{**given, "sources": options.source, "how": How(jobs, options.device, options.json)})


def _store_line(store: dict[str, Any]) -> str:
    counts = ", ".join(f"{name} {count}" for name, count in store["counts"].items() if isinstance(count, int) and count)
    return f"{store['path']}: {store['faces']} faces, fingerprint {store['fingerprint'][:12]}" + (
        f" ({counts})" if counts else ""
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document on standard output")
    parser.add_argument(
        "--plugin", type=Path, action="append", default=[], metavar="FILE.py", help="take methods from this file too"
    )


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto (CUDA where there is one), cpu, cuda or cuda:N")


def _add_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", help="an experiment's name, e.g. ablation, or a TOML file")
    parser.add_argument("--profile", default="quick", help="quick, full, paper or a TOML file (default: quick)")
    parser.add_argument("--data", default="synthfaces", help="a prepared data set (default: synthfaces)")
    parser.add_argument(
        "--source", type=Path, nargs="+", default=[], metavar="TAR|DIR", help="prepare --data from these photos first"
    )
    parser.add_argument("--add", action="append", default=[], metavar="METHOD", help="one more row")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the profile, e.g. training.iterations=50",
    )
    parser.add_argument(
        "--jobs", type=int, default=0, metavar="N", help="runs side by side (default: one a core, on a GPU one)"
    )
    _add_device(parser)


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", help="synthfaces, celeba, helen, lfw, widerface, webface, or folder for one's own")
    parser.add_argument(
        "--source",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="PATH",
        help="archives or folders of photos",
    )
    parser.add_argument("--name", default="", help="what to call the prepared set (default: the data set's name)")
    parser.add_argument(
        "--split", default="test", choices=("train", "val", "test"), help="of photos that do not tell it"
    )
    parser.add_argument("--detector", choices=("mtcnn", "center", "landmarks"), help="default: that of the data card")
    parser.add_argument(
        "--margin", type=float, help="side of the crop over the longer side of the box (default: the card's)"
    )
    parser.add_argument("--border", choices=("shift", "reflect", "skip"), help="where a crop leaves the photo")
    parser.add_argument(
        "--manifest",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="CSV",
        help="crop from these boxes alone",
    )
    parser.add_argument("--redetect", action="store_true", help="do not use the manifests that come with the data card")
    parser.add_argument(
        "--identities", type=Path, metavar="FILE", help="who is in which photo, e.g. identity_CelebA.txt"
    )
    parser.add_argument("--drop-leaks", action="store_true", help="leave out faces that training and test sets share")
    parser.add_argument(
        "--processes", type=int, default=0, metavar="N", help="processes on a CPU (default: one a core)"
    )
    for split in ("train", "val", "test"):
        parser.add_argument(f"--{split}", type=int, help=f"how many {split} faces to generate (synthfaces)")
    parser.add_argument("--strict", action="store_true", help="fail on the first file that would be left out")
    _add_device(parser)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="?",
        choices=("list", "show", "verify", "audit"),
        default="list",
        help="list (default); show: write contact sheets; verify: hash the faces again; audit: make audits anew",
    )
    parser.add_argument("name", nargs="?", help="a data set (default: all)")
    parser.add_argument("--faces", type=int, default=6, help="faces on a contact sheet")


def _add_score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", help="a method's id, see `fsr methods`")
    parser.add_argument("--weights", type=Path, help="weights.safetensors of a run (its options are read beside it)")
    parser.add_argument("--data", default="synthfaces", help="a prepared data set")
    parser.add_argument("--split", default="test", help="train, val or test")
    parser.add_argument("--faces", type=int, help="at most so many faces")
    parser.add_argument(
        "--degradation",
        default="pil-bicubic",
        metavar="NAME",
        help="how LR is made: pil-bicubic (default), matlab-bicubic, torch-antialias, area, no-antialias, real-world",
    )
    parser.add_argument("--scale", type=int, help="of a method that is not trained: 2, 4, 8 (default) or 16")
    _add_device(parser)


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", nargs="*", help="folders under results/ (default: all but reference/)")


_Adder = Callable[[argparse.ArgumentParser], None]
_COMMANDS: dict[str, tuple[str, Callable[[argparse.Namespace], int], _Adder | None]] = {
    "methods": ("list the methods", _methods, None),
    "prepare": ("make a data set's faces from photos or, for synthfaces, from seeds", _prepare, _add_prepare),
    "data": ("list, show, verify or audit prepared faces", _data, _add_data),
    "plan": ("show what an experiment would run and how long it takes", _plan, _add_job),
    "run": ("train, score and report an experiment; done runs are not repeated", _run, _add_job),
    "score": ("score one method on one data set", _score, _add_score),
    "report": ("redraw tables and figures from results alone", _report, _add_report),
}


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fsr", description="A benchmark and ablation suite for face super-resolution.")
    parser.add_argument("--version", action="version", version=f"fsr-bench {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (about, run, add) in _COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        _fill(command, run, add)
    return parser


def _build_parser_of(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"fsr {name}")
    _fill(parser, _COMMANDS[name][1], _COMMANDS[name][2])
    return parser


def _fill(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int], add: _Adder | None) -> None:
    if add is not None:
        add(parser)
    _add_common(parser)
    parser.set_defaults(run=run)


if __name__ == "__main__":
    sys.exit(main())
