"""A warning is said once by each handler, and nothing else is kept back."""

import logging

from mixlingua.cli.run_record import SaidOnce


def test_warnings_pass_once_and_all_else_as_often_as_it_is_said(caplog):
    logger = logging.getLogger("said")
    caplog.handler.addFilter(once := SaidOnce())
    try:
        with caplog.at_level(logging.INFO):
            for number in (1, 1, 2):
                logger.warning("warning %d", number)
                logger.info("step")
                logger.error("error")
    finally:
        caplog.handler.removeFilter(once)
    assert caplog.messages == ["warning 1", "step", "error", "step", "error", "warning 2", "step", "error"]
