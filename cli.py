"""The command line `mopd`: its commands and their options. What a command does lives in the packages.

Commands import what they use themselves, so that help is instant and loads no torch. A new command is a function here,
with `--json` if it lists something; `cli_output` has what it prints with. Exit codes: 0 done, 1 the run failed, 2 usage
or config, 130 interrupted.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from cli_output import (
    percent,
    print_json,
    print_options,
    print_plan,
    print_summary,
    print_table,
    print_verdicts,
    print_written,
    progress,
    sink,
)

if TYPE_CHECKING:
    from mopd_core.registry import Registries
    from mopd_core.verification.results import RowResult


class Commands(TyperGroup):
    """The boundary where an error that the user can act on becomes one message and an exit code, no traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.Exit:
            raise
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except Exception as error:
            from mopd_core.errors import MopdError

            if _is_interrupt(error):
                raise typer.Exit(130) from None
            if isinstance(error, MopdError):
                raise _failed(str(error), error.exit_code) from None
            if isinstance(error, OSError) and error.filename is not None:
                raise _failed(f"{error.filename}: {error.strerror}", 2 if _is_wrong_place(error) else 1) from None
            raise


def _is_interrupt(error: BaseException) -> bool:
    """Whether it is a Ctrl-C, or what came of one: between two operations on a lock it ends in the lock's error."""
    return isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt)


def _is_wrong_place(error: OSError) -> bool:
    """Whether the path that was given is at fault, and not what happened to the machine."""
    kinds = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
    return isinstance(error, kinds) or error.errno == errno.EROFS


def _failed(message: str, exit_code: int) -> typer.Exit:
    for line in message.splitlines():
        typer.echo(f"error: {line}", err=True)
    return typer.Exit(exit_code)


app = typer.Typer(cls=Commands, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
config_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at configs.")
app.add_typer(config_app, name="config")

ConfigFile = Annotated[
    Path | None, typer.Argument(metavar="CONFIG", help="YAML or TOML file. Without it, the bundled default.")
]
Generator = Annotated[str | None, typer.Option(metavar="NAME", help="What samples rollouts.")]
Verifier = Annotated[str | None, typer.Option(metavar="NAME", help="What judges responses.")]
Selector = Annotated[str | None, typer.Option(metavar="NAME", help="What chooses the peers the teacher is shown.")]
Divergence = Annotated[str | None, typer.Option(metavar="NAME", help="How far the student is from the teacher.")]
Teacher = Annotated[str | None, typer.Option(metavar="NAME", help="What scores rollouts in the teacher's context.")]
Objective = Annotated[str | None, typer.Option(metavar="NAME", help="How a step becomes a loss.")]
Options = Annotated[
    list[str] | None, typer.Option("-o", "--option", metavar="PATH=VALUE", help="Set any option; may be repeated.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from mopd_core import __version__

        typer.echo(f"mopd {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Multi-rollout, peer-conditioned on-policy distillation."""


@app.command()
def run(
    config: ConfigFile = None,
    generator: Generator = None,
    verifier: Verifier = None,
    selector: Selector = None,
    divergence: Divergence = None,
    teacher: Teacher = None,
    objective: Objective = None,
    option: Options = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run's folder. Default: runs/ and the time, UTC.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out where it stopped.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print steps, tokens, memory and downloads, and do nothing.")
    ] = False,
    gpus: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="With --dry-run: plan for N GPUs, not for this machine.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON.")] = False,
) -> None:
    """Train, and print held-out mean@k and pass@k before and after."""
    from rich.console import Console

    from mopd_core.config.checks import default_note
    from mopd_core.config.load import load_config
    from mopd_core.config.resume import load_resumed
    from mopd_core.errors import ConfigError

    registries = _usable_plugins()
    choices = _choices(generator, verifier, selector, divergence, teacher, objective)
    if resume and out is None:
        raise ConfigError("--resume needs --out DIR: the folder of the run to continue")
    if not dry_run and (gpus is not None or as_json):
        raise ConfigError("--gpus and --json are for --dry-run; a run takes the devices that torchrun gives it")
    folder = out or Path("runs") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    if resume:
        settings = load_resumed(folder, config, registries, choices=choices, options=option or ())
    else:
        settings = load_config(config, registries, choices=choices, options=option or ())
    if dry_run:
        if _is_first_rank():
            print_plan(settings, gpus, as_json)
        return
    note = default_note(settings, option or ()) if config is None and not resume else None

    from mopd_core.training.run import train  # Imports torch: mistakes in the config are reported before that.

    with _noted_at_start(registries, note):
        summary = train(settings, registries, folder, resume, Console(stderr=True))
    if _is_first_rank():
        print_summary(summary, folder)
    if not summary["finished"]:
        raise typer.Exit(130 if summary["stopped_by"] == "interrupt" else 1)


@app.command("eval")
def evaluate_model(
    config: ConfigFile = None,
    model: Annotated[str | None, typer.Option(metavar="PATH", help="The model: a folder or a name.")] = None,
    generator: Generator = None,
    verifier: Verifier = None,
    option: Options = None,
    samples: Annotated[int | None, typer.Option(metavar="K", help="Responses a prompt.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a model on the held-out prompts: mean@k and pass@k."""
    from rich.console import Console

    from mopd_core.config.load import load_config
    from mopd_core.errors import ConfigError

    registries = _usable_plugins()
    choices = {"generator": generator, "verifier": verifier}
    given = {"model.path": model, "evaluation.samples": samples}
    options = [*(option or ()), *(f"{path}={value}" for path, value in given.items() if value is not None)]
    settings = load_config(config, registries, choices=choices, options=options)

    from mopd_core.training.run import evaluate  # Imports torch.

    with Console(stderr=True).status("evaluating"):
        result = evaluate(settings, registries)
    if not result["prompts"]:
        raise ConfigError("there are no held-out prompts to measure on; set data.held_out to how many, or a share")
    if not _is_first_rank():
        return
    if as_json:
        print_json(result)
    else:
        print_table(("", "held-out"), [(name, percent(result[name])) for name in result if "@" in name])


@app.command()
def serve(
    config: ConfigFile = None,
    generator: Generator = None,
    port: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=65535, help="Port of this machine. Default: a free one.")
    ] = None,
    option: Options = None,
) -> None:
    """Start a server that a run with this config can sample from, print its URL, and stop it with Ctrl-C."""
    from mopd_core.config.load import load_config
    from mopd_core.errors import ConfigError

    settings = load_config(config, _usable_plugins(), choices={"generator": generator}, options=option or ())
    serve_model = getattr(settings.generator, "serve", None)
    if serve_model is None:
        raise ConfigError(
            f"generator {settings.generator.name!r} has no servers; name one that has, such as --generator vllm"
        )
    raise typer.Exit(serve_model(settings, port))


@app.command()
def verify(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="JSONL (or .jsonl.gz) with `response` and `reference` in every row; - is stdin."
        ),
    ],
    verifier: Annotated[
        str, typer.Option(metavar="NAME", help="What judges the responses of rows that name no `verifier`.")
    ],
    option: Annotated[
        list[str] | None, typer.Option("-o", "--option", metavar="PATH=VALUE", help="Such as verifier.timeout_s=5.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Rows judged at once. Default: one a CPU, four at most.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where verdicts go, as JSONL. Default: stdout.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary, on stderr, as JSON.")] = False,
) -> None:
    """Judge the responses in a file: one verdict a row, in order."""
    from mopd_core.errors import ConfigError
    from mopd_core.verification.results import FileSummary
    from mopd_core.verification.verify_file import verify_file

    if out is not None and out.exists() and file.exists() and out.samefile(file):
        raise ConfigError(f"--out {out} is the file that is read; name another one")
    judged = verify_file(file, verifier, _usable_plugins(), options=option or (), workers=workers)
    with judged as verdicts, sink(out) as lines:
        summary = FileSummary()

        def keep(result: RowResult) -> None:
            lines.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")
            summary.add(result)

        try:
            with progress() as show:
                for result in verdicts:
                    keep(result)
                    show(summary.rows, verdicts.fraction)
        except (KeyboardInterrupt, RuntimeError) as error:
            if not _is_interrupt(error):
                raise
            summary.interrupted = True
            for result in verdicts.finished():
                keep(result)
        finally:
            print_verdicts(summary, as_json)
    if summary.interrupted:
        raise typer.Exit(130)
    if summary.counts["error"]:
        raise typer.Exit(1)


@app.command()
def plugins(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="List the options of this plugin.")] = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="Only this kind, such as verifier.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the installed plugins, or the options of one."""
    from mopd_core.config.listing import list_plugins, plugin_options
    from mopd_core.registry import installed

    registries = installed()
    broken = [str(error) for error in registries.broken]
    if name is not None:
        for error in broken:
            typer.echo(f"broken: {error}", err=True)
        found = plugin_options(registries, name, kind)
        if as_json:
            print_json([asdict(each) for each in found])
        else:
            print_options(found)
        return
    rows = [asdict(row) for row in list_plugins(registries, kind)]
    if as_json:
        print_json({"plugins": rows, "broken": broken})
        return
    print_table(("name", "kind", "distribution", "version", ""), [tuple(row.values()) for row in rows])
    for error in broken:
        typer.echo(f"broken: {error}")


@app.command("new-plugin")
def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of its distribution, such as mopd-nearest.")],
    kind: Annotated[str, typer.Option(metavar="KIND", help="What it is, such as verifier.")],
    folder: Annotated[Path | None, typer.Option(metavar="DIR", help="The folder to make. Default: NAME.")] = None,
    author: Annotated[str | None, typer.Option(metavar="TEXT", help="Whose it is. Default: the NAME authors.")] = None,
    license_name: Annotated[str, typer.Option("--license", metavar="NAME", help="MIT or Apache-2.0.")] = "MIT",
) -> None:
    """Make a folder with a plugin of your own: it works, its tests pass, and it can be published."""
    from mopd_core.registry import installed
    from mopd_core.scaffold.project import make_project, plan_project

    project = plan_project(name, kind, installed(), author, license_name)
    target = folder or Path(name)
    for path in make_project(project, target):
        typer.echo(target / path)
    typer.echo("\nNext:\n")
    for command in (f"cd {shlex.quote(str(target))}", "python -m pip install -e '.[test]'", "python -m pytest"):
        typer.echo(f"    {command}")


@config_app.command()
def show(
    config: ConfigFile = None,
    generator: Generator = None,
    verifier: Verifier = None,
    selector: Selector = None,
    divergence: Divergence = None,
    teacher: Teacher = None,
    objective: Objective = None,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Print the config that a run would use, as YAML."""
    from mopd_core.config.load import load_config
    from mopd_core.config.yaml_text import write_yaml

    choices = _choices(generator, verifier, selector, divergence, teacher, objective)
    tree = load_config(config, _usable_plugins(), choices=choices, options=option or ()).model_dump(mode="json")
    if as_json:
        print_json(tree)
    else:
        typer.echo(write_yaml(tree), nl=False)


@config_app.command()
def schema() -> None:
    """Print the JSON schema of a config file, for an editor."""
    from mopd_core.config.compose import compose

    print_json(compose(_usable_plugins()).model_json_schema())


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check this machine: packages, CUDA, plugins, engines, disk."""
    from mopd_core.doctor import examine
    from mopd_core.registry import installed

    findings = examine(installed(), Path("runs"))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_table(("", "", ""), [(finding.status, finding.name, finding.detail) for finding in findings])
    if any(finding.status == "problem" for finding in findings):
        raise typer.Exit(1)


@app.command()
def study(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Methods and seeds, as YAML, TOML or JSON.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where runs and results go. Default: runs/ and the file's name.")
    ] = None,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Runs at once.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and what is there of them.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON.")] = False,
) -> None:
    """Run methods x seeds, go on where a study stopped, and write tables and figures."""
    from mopd_core.errors import ConfigError
    from mopd_core.study.config import load_study, total_rollouts
    from mopd_core.study.runner import Runner
    from mopd_core.study.states import StudyFolder

    if as_json and not dry_run:
        raise ConfigError("--json is for --dry-run; the study's folder has results.json")
    registries = _usable_plugins()
    wanted = load_study(file, registries)
    folder = StudyFolder(out or Path("runs") / file.stem)
    if dry_run:
        header = ("folder", "method", "seed", "rollouts", "state")
        rows = [(r.name, r.variant, r.seed, total_rollouts(r.config), folder.state(r)) for r in wanted.runs]
        if as_json:
            print_json([dict(zip(header, row, strict=True)) for row in rows])
        else:
            print_table(header, [tuple(map(str, row)) for row in rows])
        return
    failures = Runner(wanted, folder, jobs, lambda line: typer.echo(line, err=True)).work()

    from mopd_core.study.write import write_results

    if (table := write_results(wanted, folder, registries)) is not None:
        typer.echo(table)
        typer.echo(f"everything is in {folder.path}")
    if failures:
        raise _failed("\n".join(f"{each.run.name}: exit code {each.code}: {each.said}" for each in failures), 1)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, finished or not.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the page goes. Default: report.html in RUN.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write it again and again until the run ends; Ctrl-C ends it before.")
    ] = False,
    every: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=1, help="How often, with --watch. Default: 15.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make one HTML file of a run that opens offline: curves, step profile, groups, token by token."""
    from mopd_core.errors import ConfigError
    from mopd_core.report.make import Reporter, Written
    from mopd_core.report.watch import watch as keep_writing

    if every is not None and not watch:
        raise ConfigError("--every is for --watch: add it, or leave --every out")
    reporter = Reporter(folder, out)

    def tell(written: Written) -> None:
        print_written(written, as_json)

    if watch:
        keep_writing(reporter, every or 15.0, tell)
    else:
        tell(reporter.write())


@app.command()
def analyze(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs with saved rollouts.")],
    context: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="What the teacher is shown: none, counts such as 1S, 1F and 2S1F, or a selector; may be repeated.",
        ),
    ] = None,
    teacher: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="The run's teacher at its last or best checkpoint, student, initial, or a path."
        ),
    ] = "last",
    steps: Annotated[
        str | None, typer.Option(metavar="STEPS", help="Such as 1-5,60. Default: the last ones, of about 64 prompts.")
    ] = None,
    minus: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A context to compare the others with, besides none and random-peer; may be repeated."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for tables and figures. Default: analysis/ in RUN.")
    ] = None,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Measure how well a teacher's scores rank runs' saved rollouts, and how varied these are; all runs as one."""
    from rich.console import Console
    from rich.markup import escape

    from mopd_core.analysis.analyze import analyze as analyze_run  # Imports torch.

    registries = _usable_plugins()
    with Console(stderr=True).status("loading") as status:
        found = analyze_run(
            runs,
            registries,
            contexts=context or (),
            minus=minus or (),
            teacher=teacher,
            steps=steps,
            out=out,
            options=option or (),
            note=lambda text: status.update(escape(text)),
        )
    if as_json:
        print_json(found.numbers)
    else:
        typer.echo(f"{found.markdown}\nThe tables and figures are in {found.folder}")


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs; the first is the reference.")],
    target: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Also tell what it took to reach this held-out accuracy, such as 0.6."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where tables and the figure go, as files.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put runs side by side, paired over the held-out prompts that they share."""
    from mopd_core.analysis import compare_report
    from mopd_core.analysis.compare import compare as compare_runs

    found = compare_runs(runs, _usable_plugins(), target)
    if out is not None:
        compare_report.write(found, out)
    if as_json:
        print_json(compare_report.as_json(found))
    else:
        typer.echo(compare_report.markdown(found), nl=False)


def main() -> None:
    """The console script."""
    app(prog_name="mopd")


def _is_first_rank() -> bool:
    """Whether this process is the one of those that torchrun started which talks to people."""
    return os.environ.get("RANK", "0") == "0"


def _usable_plugins() -> Registries:
    from mopd_core.registry import installed

    registries = installed()
    registries.check()
    return registries


@contextmanager
def _noted_at_start(registries: Registries, note: str | None) -> Iterator[None]:
    """Print a note once a run has started: all input has been checked by then, so a mistake in it stays one line."""
    from mopd_core.hookspecs import hookimpl

    @hookimpl
    def mopd_run_started() -> None:
        if note:
            typer.echo(f"note: {note}", err=True)

    watcher = SimpleNamespace(mopd_run_started=mopd_run_started)
    registries.manager.register(watcher)
    try:
        yield
    finally:
        registries.manager.unregister(watcher)


def _choices(
    generator: str | None,
    verifier: str | None,
    selector: str | None,
    divergence: str | None,
    teacher: str | None,
    objective: str | None,
) -> dict[str, str | None]:
    return {
        "generator": generator,
        "verifier": verifier,
        "selector": selector,
        "divergence": divergence,
        "teacher": teacher,
        "objective": objective,
    }


if __name__ == "__main__":
    main()
