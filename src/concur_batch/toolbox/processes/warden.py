"""A small process that forks a supervisor for each command.

Forking from it costs about a millisecond, where starting an interpreter per command costs twenty; and nothing of the
runner (its threads, memory, connections, environment) comes near a command. Standard library only, and little of it.
"""

from __future__ import annotations

import gc
import marshal
import os
import signal
import socket

from concur_batch.toolbox.processes.supervisor import adopt_orphans, read_frame, supervise


def main(runner_fd: int) -> None:
    """Serve until the runner closes its end. Each message carries three descriptors: call, stdin, stdout of a command."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel collects ended supervisors
    adopt_orphans()  # of supervisors that were killed, for the runner to find
    gc.collect()
    gc.freeze()
    gc.disable()  # so that forked memory stays shared
    with socket.socket(fileno=runner_fd) as runner:
        while True:
            data, descriptors, _, _ = socket.recv_fds(runner, 1, 3)
            if not data:
                return
            try:
                is_supervisor = os.fork() == 0
            except OSError:  # the runner sees the call closed before it was started
                is_supervisor = False
            if is_supervisor:
                runner.close()
                _supervise(descriptors)
            for descriptor in descriptors:
                os.close(descriptor)


def _supervise(descriptors: list[int]) -> None:
    try:
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)  # noqa: FBT003  (positional only)
        call = socket.socket(fileno=descriptors[0])
        request = marshal.loads(read_frame(call))  # noqa: S302  (from our own runner)
        supervise(request, call, descriptors[1], descriptors[2])
    except EOFError:
        pass  # given up before it began
    finally:
        os._exit(0)
