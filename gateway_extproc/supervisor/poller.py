"""Work that the supervisor does again and again off its loop: one thread each."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Poller:
    """Calls ``step`` until it is stopped; ``trouble`` is why the last call failed.

    ``step`` may wait, but for no longer than some seconds.  Nothing that it raises ends
    the thread.
    """

    def __init__(self, name: str, step: Callable[[], object], pause_s: float) -> None:
        self.name = name
        self.trouble = ""
        self._step, self._pause_s = step, pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the last call is over."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            trouble = self._call()
            if trouble != self.trouble:
                log.warning("%s: %s", self.name, trouble or "works again")
            self.trouble = trouble
            self._stop.wait(self._pause_s)

    def _call(self) -> str:
        try:
            self._step()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return ""
