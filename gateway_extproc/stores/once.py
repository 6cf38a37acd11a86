"""What may be done once only, by all workers of a host: an empty file for each."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from gateway_extproc.core.ports import StoreUnavailable


class OnceFiles:
    """``core.ports.Once`` in a folder that survives restarts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, name: str) -> bool:
        """True for who comes first; raises ``StoreUnavailable``."""
        file = self._folder / hashlib.sha256(name.encode()).hexdigest()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        except OSError as error:
            raise StoreUnavailable(str(error)) from None
        return True
