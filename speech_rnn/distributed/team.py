"""Those who train one model together, and what they tell each other."""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import cast

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from speech_rnn.distributed.cluster import Cluster
from speech_rnn.distributed.meeting import PATIENCE_S, meet
from speech_rnn.errors import SettingsError, SpeechRnnError

STDERR = 2
# What TensorFlow raises where another worker has died, or has begun anew and knows nothing of what was under way.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
)


class WorkerLostError(SpeechRnnError):
    """Another worker has gone; this one can go on only in a new process, for TensorFlow connects workers once."""


class Team:
    """Those who train one model together; this process is one of them.

    Attributes:
        strategy: where variables are to be made and steps run; ``None`` where one trains alone, without copies.
        index: of this worker.
        size: how many workers there are.
        replicas: copies of the model that each of them has, one a device.
        is_started_again: whether a worker that has ended is started with the same command, and so goes on.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy | None = None,
        index: int = 0,
        size: int = 1,
        *,
        is_started_again: bool = False,
    ) -> None:
        """A team of one; see :meth:`of_cluster` and :meth:`of_devices` for the others."""
        self.strategy, self.index, self.size, self.is_started_again = strategy, index, size, is_started_again
        # Of one worker; TensorFlow takes it that all have equally many.
        self.replicas = 1 if strategy is None else strategy.num_replicas_in_sync // size
        self._sum = None if size == 1 or strategy is None else _sum_over(strategy, self.replicas)

    @classmethod
    def of_cluster(cls, cluster: Cluster, patience_s: float = PATIENCE_S) -> Team:
        """The workers of a cluster, each with all its GPUs, or its processor where it has none.

        To be called before anything else of TensorFlow is; it comes back when all are there.

        Args:
            cluster: the workers.
            patience_s: how long is waited for the others.

        Raises:
            SpeechRnnError: some haven't come.
            WorkerLostError: another came and has gone.
            SettingsError: not all were told of the same cluster.
        """
        meet(cluster, patience_s)
        jobs = {job: list(addresses) for job, addresses in cluster.jobs.items()}
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec(jobs), task_type=cluster.job, task_id=cluster.task, rpc_layer="grpc"
        )
        with _exit_after(patience_s), noticing_lost_workers():
            strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
        # TensorFlow takes SIGTERM for the notice of an end to come, and stays; whoever sends it means it.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        return cls(strategy, cluster.index, len(cluster.addresses), is_started_again=True)

    @classmethod
    def of_devices(cls, devices: Sequence[str] = ()) -> Team:
        """One worker whose devices share each step.

        Args:
            devices: by TensorFlow's names; all GPUs where not given.

        Raises:
            SettingsError: there is no GPU.
        """
        devices = devices or [device.name for device in tf.config.list_logical_devices("GPU")]
        if not devices:
            raise SettingsError("strategy mirrored needs a GPU, and TensorFlow sees none; leave --strategy out")
        return cls(tf.distribute.MirroredStrategy(devices))

    @property
    def is_chief(self) -> bool:
        """Whether this worker is the one that writes."""
        return self.index == 0

    def scope(self) -> AbstractContextManager[object]:
        """Where variables are made."""
        return nullcontext() if self.strategy is None else self.strategy.scope()

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum over all workers, who must all ask for it, with equally many values.

        Args:
            values: float64 [n], of this worker.

        Raises:
            WorkerLostError: another has gone.
        """
        if self._sum is None:
            return values
        with noticing_lost_workers():
            return np.asarray(self._sum(values), np.float64)

    def of_chief(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The chief's values, whatever those of this worker are; all must ask, with equally many.

        Raises:
            WorkerLostError: another has gone.
        """
        return self.sum(values if self.is_chief else np.zeros_like(values))

    def wait(self) -> None:
        """Come back when all workers have called this.

        Raises:
            WorkerLostError: another has gone.
        """
        self.sum(np.zeros(1))


def _sum_over(strategy: tf.distribute.Strategy, replicas: int) -> Callable[[NDArray[np.float64]], tf.Tensor]:
    # One signature: were it traced again by one worker alone, its sums would no longer meet those of the others.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float64)])
    def summed(values: tf.Tensor) -> tf.Tensor:
        def once() -> tf.Tensor:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            return values * tf.cast(replica % replicas == 0, tf.float64)

        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(once), axis=None)

    return cast("Callable[[NDArray[np.float64]], tf.Tensor]", summed)


@contextmanager
def noticing_lost_workers() -> Iterator[None]:
    """Raise :class:`WorkerLostError` where TensorFlow finds that another worker has gone."""
    try:
        yield
    except _LOST:
        raise WorkerLostError("another worker has gone") from None


@contextmanager
def _exit_after(seconds: float) -> Iterator[None]:
    """End the process where TensorFlow still waits then: a worker has gone after all had met.

    It holds Python's lock while it waits, so that neither a thread nor a signal could.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=STDERR)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
