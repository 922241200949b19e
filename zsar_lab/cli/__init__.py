"""The command line, thin: a command is one call of the library, its options are the function's parameters."""

from __future__ import annotations

import os
import sys
import warnings

from zsar_lab import __version__
from zsar_lab.cli.models import bench, classify, compare, embed, evaluate, export, info, search
from zsar_lab.cli.studies import ablate, demo, notebooks, prepare, study, train

ABOUT = "Zero-shot action recognition, from video files to a zero-shot table."
COMMANDS = (
    *(demo, study, prepare, train, ablate),
    *(evaluate, compare, embed, search, classify, export, info, notebooks, bench),
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; a mistake ends in one sentence and status 2, an interrupt in one and 130.

    Status 1: there was nothing that could be read.
    """
    import tyro

    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments == ["--version"]:
        print(f"zsar_lab {__version__}")
        return 0
    warnings.formatwarning = lambda message, *_, **__: f"note: {message}\n"  # without a line of code
    commands = {command.__name__: command for command in COMMANDS}
    rank = os.environ.get("RANK", "0")
    who = f"rank {rank}: " if "RANK" in os.environ else ""
    try:
        _refuse_repeated(arguments)
        config = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
        subcommands = tyro.extras.subcommand_cli_from_dict
        status = subcommands(commands, prog="zsar-lab", description=ABOUT, args=arguments, config=config)
    except KeyboardInterrupt as interrupt:
        if rank == "0":
            said = str(interrupt) or "interrupted; what was finished is saved, run it again to go on"
            print(f"\n{who}{said}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has enough, as head has
        return 141
    except (ValueError, OSError, RuntimeError, ModuleNotFoundError) as error:
        print(f"\n{who}{error}", file=sys.stderr)
        return 2
    return status or 0


def _refuse_repeated(arguments: list[str]) -> None:
    """Refuse an option that is given twice, of which the parser would take the last without a word."""
    options = [argument.split("=")[0] for argument in arguments if argument.startswith("--")]
    twice = [option for option in options if options.count(option) > 1]
    if twice:
        raise ValueError(f"{twice[0]} must be given once, with its values behind one another, got it again")
