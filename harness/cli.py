"""The command line: errors become messages and exit codes here, and nowhere else.

The only module that exits. With `harness.commands` and `harness.progress` the only part that
prints: answers go to standard output, everything else to standard error.
"""

import contextlib
import logging
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.text import Text

from harness import errors, files, plugins, progress
from harness.commands import bench, crash, designs, evidence, formats, lab, product, release, watch
from harness.commands.terminal import answering
from harness.errors import ConfigurationError, HarnessError, LabError
from harness.log import emit, json_lines
from harness.plain import plain

_EXIT_CODES = """[bold]Exit codes[/]: 0 passed, 1 a bug in the harness, 2 your input is wrong,
3 the lab is at fault, 4 the device failed the test, 5 promotion refused, 130 interrupted."""

app = typer.Typer(
    name="harness",
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # main() shows errors, and decides what they mean
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    product.setup,
    product.init,
    formats.schema,
    release.build,
    release.adopt,
    bench.flash,
    bench.console,
    bench.ssh,
    bench.power,
    bench.status,
    watch.watch,
    lab.doctor,
    release.test,
    release.promote,
    evidence.report,
    evidence.compare,
    release.demo,
):
    app.command()(command)
app.add_typer(crash.app)
app.add_typer(designs.app)
app.add_typer(lab.app)

# The terminal is theirs: no progress display; `crash` decides for each of its commands.
_INTERACTIVE = {"console", "ssh", "crash", "designs", "watch"}


@app.callback()
def harness(
    context: typer.Context,
    *,
    events: Annotated[
        Path | None, typer.Option(help="Append every step as a JSON line to this file.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no steps.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every detail.")] = False,
) -> None:
    """Proves, before release, that an over-the-air update cannot brick a device."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        handlers=[_log_handler()],
    )
    if not verbose:  # it logs a traceback for each lost connection, and we cut them all the time
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    if events:  # they are taken until an error has been told
        context.obj.enter_context(json_lines(events))
    if not quiet and context.invoked_subcommand not in _INTERACTIVE:
        context.with_resource(progress.shown())


def main() -> None:
    """Run the command line; every way out of the harness is in here."""
    # A closed terminal and a CI's `terminate` clean up exactly as Ctrl-C does.
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _interrupt)
    with contextlib.ExitStack() as sinks:
        _run(sinks)


def _run(sinks: contextlib.ExitStack) -> None:
    try:
        with answering():
            app(obj=sinks)
    except HarnessError as error:
        _fail(error)
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # Click's own end, of --help and usage
            _fail(files.trouble("standard output", ended.__context__))
        raise
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] == "harness":
            _bug(error)
        _fail(
            ConfigurationError(
                f"this needs the Python package {error.name}, which is not installed",
                hint="`harness setup --install`, or pip install 'harness[lab]'",
            )
        )
    except MemoryError:
        _fail(
            LabError("not enough memory", hint="run it where there is more, or end what takes it")
        )
    except OSError as error:
        if "No usable temporary directory" in str(error):  # tempfile's own words; it has no file
            _fail(
                LabError("no folder for temporary files", hint="set TMPDIR to one that is writable")
            )
        # Files are told where they are used; a disk can be full, and a folder be closed, anywhere.
        if not error.filename and error.errno not in files.MACHINE:
            _bug(error)
        logging.getLogger(__name__).debug("", exc_info=error)
        _fail(files.trouble(error.filename or "this machine", error))
    except Exception as error:
        _bug(error)


def _fail(error: HarnessError) -> NoReturn:
    with _nobody_there():
        emit(errors.EVENT, **errors.to_data(error))
    _show(error)
    sys.exit(error.exit_code)


def _bug(error: Exception) -> NoReturn:
    with _nobody_there():
        sys.stderr.write(plain(traceback.format_exc()))
    if of_a_part := plugins.at_fault(error):
        _fail(of_a_part)
    _complain("this is a bug in the harness", "please report it with the lines above")
    sys.exit(1)


def _log_handler() -> logging.Handler:
    """Shows what modules and libraries log, which may be anybody's text."""
    handler = logging.StreamHandler()
    handler.setFormatter(_PlainFormatter("%(levelname)s: %(name)s: %(message)s"))
    return handler


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _show(error: HarnessError) -> None:
    rest = f"hint: {error.hint}" if error.hint else ""
    _complain(error.kind, error.brief, error.details, rest)


def _complain(kind: str, brief: str, *more: str) -> None:
    text = Text.assemble((kind, "bold red"), ": ", brief)
    text.append("".join(f"\n{part}" for part in more if part))
    with _nobody_there():
        progress.Screen(stderr=True).print(text, soft_wrap=True, highlight=False)


def _nobody_there() -> contextlib.AbstractContextManager[None]:
    """A block that tells something: where nobody can be told, the exit code still is."""
    return contextlib.suppress(OSError, ValueError, AttributeError, HarnessError)
