"""The fork server that workers come from, started before its parent has imported anything.

Both import the same modules, which takes seconds: so they do it at the same time.  This module
imports nothing heavy itself.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from multiprocessing import forkserver


def start_fork_server(preload: Sequence[str]) -> None:
    """Starts it with these modules; nothing happens where one runs already.

    It ends with its parent.  What the parent changes afterwards (environment, folder) it does
    not see: workers are told by their arguments.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(preload))
    forkserver.ensure_running()
