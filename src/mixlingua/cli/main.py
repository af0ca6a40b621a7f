"""The entry point: `python run.py`, or `mixlingua` where the package is installed. --help says more."""

import sys

from mixlingua.cli.command_line import help_text, parsed
from mixlingua.errors import errors_on_stderr, signals_interrupt
from mixlingua.files import conf_folder


def main() -> None:
    """Run the command in sys.argv; exits with 2 and one message where it is wrong."""
    options = parsed(sys.argv[1:])
    if options.help:
        print(help_text(options.config_dir))
        return
    import hydra
    from omegaconf import DictConfig

    from mixlingua.cli.check import check_command_line
    from mixlingua.cli.configuration import register
    from mixlingua.cli.job import JobResult, run_job
    from mixlingua.cli.run_folder import release
    from mixlingua.cli.run_record import with_arguments_of_resumed

    @hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")
    def job(cfg: DictConfig) -> JobResult:
        return run_job(cfg)

    with errors_on_stderr(), signals_interrupt():
        # Hydra reads sys.argv itself, and Lightning repeats it for the processes that it starts.
        sys.argv[1:] = with_arguments_of_resumed(sys.argv[1:])
        check_command_line(sys.argv[1:])
        register(parsed(sys.argv[1:]).config_dir)
        try:
            job()
        finally:
            release()
