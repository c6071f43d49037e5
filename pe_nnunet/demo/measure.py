"""How fast this machine is: the steps of both trainings at the same time, and work that is none of a network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pe_nnunet.demo.settings import PHANTOMS, DemoSettings
from pe_nnunet.detection.settings import DetectorSettings
from pe_nnunet.processes import usable_processors, worker_pool

LEAST_S, LEAST_STEPS = 3.0, 4


@dataclass(frozen=True)
class Speed:
    """Seconds that this machine takes.

    Attributes:
        scan_s: To draw a phantom, of several at the same time.
        step_s: For a step of the segmenter's training.
        detector_step_s: For a step of the detector's; 0 without one.
    """

    scan_s: float
    step_s: float
    detector_step_s: float


def threads_each(settings: DemoSettings) -> int:
    """Threads of each training: both networks are trained at once, each on its share of the processors.

    Two processes of one thread do more than two of two threads, one after the other: small operations gain nothing
    from a second thread.

    Args:
        settings: Of the demo.
    """
    trainings = 1 if settings.detector is None or settings.device != "cpu" else 2
    return max(1, usable_processors() // trainings)


def measure(settings: DemoSettings) -> Speed:
    """Measure this machine for some ten seconds, with all that will run at the same time.

    Args:
        settings: Networks and device.
    """
    threads = threads_each(settings)
    with worker_pool(2) as pool:
        drawn = [pool.submit(_seconds_of_a_scan, index) for index in range(2)]
        scan_s = max(one.result() for one in drawn)
        segmenter = pool.submit(_seconds_of_a_step, settings.network, settings.device, threads)
        detector = (
            None
            if settings.detector is None
            else pool.submit(_seconds_of_a_detector_step, settings.detector, settings.device, threads)
        )
        return Speed(scan_s, segmenter.result(), 0.0 if detector is None else detector.result())


def _seconds_of_a_scan(index: int) -> float:
    from pe_nnunet.phantom.make import make_phantom
    from pe_nnunet.phantom.settings import coarse_settings

    spacing = float(PHANTOMS[PHANTOMS.index("--spacing") + 1])
    settings = coarse_settings(spacing_mm=(spacing,) * 3)
    started = time.perf_counter()
    make_phantom(settings, 0, index)
    return time.perf_counter() - started


def _seconds_of_a_step(network: str, device: str, threads: int) -> float:
    import torch

    from pe_nnunet.demo.segmenter_step import segmenter_step

    torch.set_num_threads(threads)
    return seconds_of(segmenter_step(network, device))


def _seconds_of_a_detector_step(how: DetectorSettings, device: str, threads: int) -> float:
    import torch

    from pe_nnunet.detection.architectures import find_architecture, switch_off

    architecture, size = find_architecture(how.model)
    switch_off()
    from pe_nnunet.detection.yolo import training_step

    torch.set_num_threads(threads)
    return seconds_of(training_step(architecture, size, how.image_size, how.batch, device))


def seconds_of(step: Callable[[], None], least_s: float = LEAST_S) -> float:
    """How long a call takes on average, over some seconds, after one that is not counted.

    Args:
        step: Called some times.
        least_s: For so long at least.
    """
    step()
    started, count = time.perf_counter(), 0
    while count < LEAST_STEPS or time.perf_counter() - started < least_s:
        step()
        count += 1
    return (time.perf_counter() - started) / count
