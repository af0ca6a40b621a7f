"""The entry point of a clone: python run.py [action=...] [group=choice ...] [key=value ...]; --help says more."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))  # a clone works without being installed

from mixlingua.cli.main import main

if __name__ == "__main__":
    main()
