"""How busy and how fast the machine was while something was measured: a number without it means little."""
from __future__ import annotations

import os
import pathlib
import statistics
import time


def environment(threads: int) -> dict[str, str]:
    """What every measured process runs under: one thread count for all pools, and idle OpenMP workers that sleep."""
    counts = dict.fromkeys(("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return os.environ | counts | {"OMP_WAIT_POLICY": "passive", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def busy_s() -> float:
    """CPU seconds spent by everything on this machine since boot (user, nice, system, interrupts)."""
    v = [int(x) for x in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    return (sum(v[:3]) + sum(v[5:7])) / os.sysconf("SC_CLK_TCK")


def wait_until_quiet(limit_s: float, share: float = 0.1) -> None:
    """Returns when others used less than `share` of one core over two seconds, or after `limit_s`."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        before = busy_s()
        time.sleep(2)
        if busy_s() - before < 2 * share:
            return


class Clock:
    """Wall and CPU seconds between ticks of this process, and what the rest of the machine used meanwhile."""

    def __init__(self):
        self.wall, self.cpu, self.others, self.mark = [], [], [], None

    def tick(self) -> None:
        now = time.perf_counter(), time.process_time(), busy_s()
        if self.mark:
            wall, cpu, busy = (x - y for x, y in zip(now, self.mark))
            self.wall.append(wall)
            self.cpu.append(cpu)
            self.others.append(max(0.0, busy - cpu))
        self.mark = now


def spread(xs) -> dict[str, float]:
    return {"min": round(min(xs), 4), "median": round(statistics.median(xs), 4), "max": round(max(xs), 4)}
