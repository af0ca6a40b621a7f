"""The only entry point: python run.py [action=...] [group=choice ...] [key=value ...]; --help says more."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent
CONF = ROOT / "conf"
sys.path.insert(0, str(ROOT / "src"))  # a clone works without `pip install -e .`

if TYPE_CHECKING:
    from omegaconf import DictConfig


def main() -> None:
    arguments = sys.argv[1:]
    if "--help" in arguments or "-h" in arguments:  # answered without Hydra, which takes a second for it
        from mixlingua.cli.main import help_text

        print(help_text(CONF))
        return

    import hydra

    from mixlingua.cli import main as app
    from mixlingua.cli.check import check_command_line
    from mixlingua.cli.run_record import with_arguments_of_resumed

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    def job(cfg: "DictConfig") -> app.JobResult:
        return app.run_job(cfg)

    with app.errors_on_stderr():
        sys.argv[1:] = with_arguments_of_resumed(arguments)
        check_command_line(sys.argv[1:], CONF)
        job()


if __name__ == "__main__":
    main()
