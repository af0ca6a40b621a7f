"""Makes fakes.py and journal_worker.py importable, which processes of their own run as well."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
