"""Which set-up each set-up is tested against."""

from collections.abc import Sequence

from mixlingua.app.setups import Setup
from mixlingua.errors import ConfigError, suggest

DEFAULT = "hybrid"


def baselines(found: Sequence[Setup], wanted: str | None) -> dict[str, str]:
    """Label -> label of its baseline, for all but the baselines themselves.

    wanted: a label, or words of one, such as "hybrid" or "sampler=hybrid model=labse"; None: "hybrid" if that means
    some of the set-ups, else the first. Where several fit, as one for each model, each set-up is tested against the
    one that it shares most with. Raises ConfigError where none fits, all fit, or two are equally near.
    """
    fitting = _fitting(found, DEFAULT if wanted is None else wanted)
    if wanted is None and len(fitting) in (0, len(found)):
        fitting = [found[0]]
    labels = ", ".join(f"'{setup.label}'" for setup in found)
    if not fitting:
        hint = suggest(str(wanted), {name for setup in found for name in setup.names})
        raise ConfigError(f"baseline={wanted}: none of the set-ups {labels}.{hint}")
    if len(fitting) == len(found) > 1:
        raise ConfigError(f"baseline={wanted} fits every set-up; name one of {labels}.")
    return {setup.label: _nearest(setup, fitting).label for setup in found if setup not in fitting}


def _fitting(found: Sequence[Setup], wanted: str) -> list[Setup]:
    exact = [setup for setup in found if setup.label == wanted]
    return exact or [setup for setup in found if setup.names >= set(wanted.split())]


def _nearest(setup: Setup, fitting: Sequence[Setup]) -> Setup:
    shared = [len(setup.parts.items() & candidate.parts.items()) for candidate in fitting]
    if shared.count(max(shared)) > 1:
        raise ConfigError(
            f"baseline: '{setup.label}' might be compared with {' or '.join(repr(s.label) for s in fitting)}; name one "
            "by its label, in quotes: 'baseline=\"...\"'."
        )
    return fitting[shared.index(max(shared))]
