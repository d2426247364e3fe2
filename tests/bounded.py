"Read a hostile file in a process of its own, within bounds of memory and time."

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from tests.fuzzing import megabytes

MEGABYTES = 1024  # of memory that rejecting a file may take, over what is in use before
SECONDS = 10  # of processor time


def _bounded(read: Callable[[], object], error: type[Exception]) -> str:
    "In the child: 'rejected', or what else came of `read`."
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    roof = int((megabytes("VmSize") + 2 * MEGABYTES) * 2**20)
    resource.setrlimit(resource.RLIMIT_AS, (roof, roof))
    resource.setrlimit(resource.RLIMIT_CPU, (4 * SECONDS, 4 * SECONDS))
    forget_peak = Path("/proc/self/clear_refs")
    if forget_peak.exists():
        forget_peak.write_text("5")
    before, start = megabytes("VmRSS"), time.process_time()
    try:
        read()
        return "it was read"
    except error as rejection:
        if isinstance(rejection.__cause__, MemoryError):
            return f"over {2 * MEGABYTES} MB asked for"
    except BaseException as other:
        return f"{type(other).__name__}: {other}"[:100]
    grown, spent = megabytes("VmHWM") - before, time.process_time() - start
    if grown > MEGABYTES:
        return f"it took {grown:.0f} MB"
    return f"it took {spent:.1f} s" if spent > SECONDS else "rejected"


def outcome(read: Callable[[], object], error: type[Exception]) -> str:
    "'rejected' where `read` raises `error` within the bounds; else what it does."
    out, into = os.pipe()
    if not (child := os.fork()):
        ending = "the process died"
        try:
            ending = _bounded(read, error)
        finally:
            os.write(into, ending.encode())
            os._exit(0)
    os.close(into)
    with open(out, errors="replace") as pipe:
        ending = pipe.read()
    os.waitpid(child, 0)
    return ending or "the process died"
