"""A worker process that ends itself by SIGKILL at a named point, for the tests of crashes.

python tests/crashing.py DATA SETTINGS POINT NTH: SETTINGS is JSON, overrides by key path; POINT may be "" for never.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path

from service.log import set_up_logging
from service.settings import load_settings
from service.worker import run_worker


def main() -> None:
    data, overrides, point, nth = sys.argv[1:]
    settings = load_settings(None, {}, {"data": Path(data), **json.loads(overrides)})
    set_up_logging(settings.log)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopping.set())
    passed: Counter[str] = Counter()

    def passing(here: str) -> None:
        passed[here] += 1
        if here == point and passed[here] == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)

    run_worker(settings, stopping, passing=passing)


if __name__ == "__main__":
    main()
