"""What the configuration key `resume` means."""

from pathlib import Path


def checkpoint_of(resume: str) -> Path:
    """The checkpoint that `resume` names: a file, or the last one of a run folder."""
    path = Path(resume)
    return path / "checkpoints" / "last.ckpt" if path.is_dir() else path
