"""Start or continue a fine-tuning, in this process or in several new ones."""

import socket
from pathlib import Path

from torch import multiprocessing
from torch.multiprocessing.spawn import ProcessException, spawn

from embedkit.backbones.backbone import PassTooLarge
from embedkit.backbones.loading import load_network
from embedkit.backbones.network import Network
from embedkit.backbones.torch_runtime import memory_errors
from embedkit.classify.heads.finetune import checkpoint
from embedkit.classify.heads.finetune.configuration import Configuration
from embedkit.classify.heads.finetune.folder import TrainingFolder
from embedkit.classify.heads.finetune.job import Job, check, digest_of, without_unreadable
from embedkit.classify.heads.finetune.loader import threads_for, unreadable
from embedkit.classify.heads.finetune.processes import SingleProcess, check_count, join_processes
from embedkit.classify.heads.finetune.task import FineTuned, Task
from embedkit.classify.heads.finetune.training import Training
from embedkit.errors import BadInput, EmbedkitError, OutOfMemory
from embedkit.results import Failure, Progress, ProgressCallback

_POLL = 0.2
"""Seconds between two checks for reports of the processes."""


def run(
    task: Task,
    configuration: Configuration,
    path: Path,
    progress: ProgressCallback,
    processes: int,
) -> FineTuned:
    """Implement :func:`embedkit.classify.heads.finetune.fit`."""
    check_count(processes)
    if configuration.batch < 2 * processes:
        raise BadInput(f"a batch of {configuration.batch} is too small for {processes} processes")
    network, resolved = load_network(task.backbone)
    check(task, resolved.spec)
    folder = TrainingFolder(path)
    digest = digest_of(task, configuration, resolved.spec)
    folder.open_for(digest)
    if not folder.is_finished:
        failures = _failures(task, folder, progress)
        readable = without_unreadable(task, {failure.path for failure in failures})
        if len(readable.training) < 2 * processes:
            raise BadInput(f"{len(readable.training)} photos are too few for {processes} processes")
        job = Job(readable, configuration, resolved.spec, digest, failures)
        if processes == 1:
            _train(job, network, folder, SingleProcess(), progress)
        else:
            _train_together(job, folder, processes, progress)
    folder.tidy()
    return folder.read()


def _failures(
    task: Task, folder: TrainingFolder, progress: ProgressCallback
) -> tuple[Failure, ...]:
    """Return the photos that were unreadable when training began."""
    if folder.checkpoint.is_file():
        record = checkpoint.read_record(folder.checkpoint)
        return tuple(Failure(**failure) for failure in record["failures"])
    paths = sorted({path for path, _ in (*task.training, *task.validation)})
    return tuple(unreadable(paths, threads_for(1), progress))


def _train(
    job: Job,
    network: Network,
    folder: TrainingFolder,
    processes: SingleProcess,
    progress: ProgressCallback,
) -> None:
    try:
        with memory_errors():
            Training(job, network, folder, processes, progress).run()
    except PassTooLarge as error:
        raise OutOfMemory(
            f"a batch of {job.configuration.batch} photos of {job.spec.size} pixels does not fit "
            f"into the memory of the {processes.device.type} device; use a smaller batch, backbone "
            "or size="
        ) from error


# -- several processes -----------------------------------------------------------------------------


def _train_together(
    job: Job, folder: TrainingFolder, count: int, progress: ProgressCallback
) -> None:
    """Train in ``count`` new processes. Reports the progress of the first; raises any error."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    reports = multiprocessing.get_context("spawn").SimpleQueue()
    context = spawn(  # type: ignore[no-untyped-call]
        _train_as_one_of, (count, port, job, folder, reports), nprocs=count, join=False
    )
    raised: list[EmbedkitError] = []

    def handle_reports() -> None:
        while not reports.empty():
            report = reports.get()
            if isinstance(report, Progress):
                progress(report)
            else:
                raised.append(report)

    try:
        while not context.join(_POLL):
            handle_reports()
    except ProcessException:
        handle_reports()
        if not raised:
            raise
    finally:
        for process in context.processes:
            process.terminate()
    handle_reports()
    if raised:
        raise raised[0]


def _train_as_one_of(
    rank: int,
    count: int,
    port: int,
    job: Job,
    folder: TrainingFolder,
    reports: "multiprocessing.SimpleQueue[Progress | EmbedkitError]",
) -> None:
    try:
        processes = join_processes(rank, count, port)
        network, resolved = load_network(job.task.backbone)
        if resolved.spec != job.spec:
            raise BadInput(
                f"the weights of {job.task.backbone} changed while training started; start again"
            )
        _train(job, network, folder, processes, reports.put)
    except EmbedkitError as error:
        reports.put(error)
        raise
