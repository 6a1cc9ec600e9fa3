"""The accept queue, with several backlogs."""

from __future__ import annotations

from netlab.studies.handshake.accept_queue import MORE, client, dropped, server, unanswered
from netlab.studies.programs import until_the_server_was_told
from netlab.studies.quantity import Kind
from netlab.studies.study import Expect, Parameter, Study, Sweep, Topic

STUDY = Study(
    name="backlog-sizes",
    topic=Topic.HANDSHAKE,
    question="listen(fd, backlog) with {backlog}: how many connections are kept for a busy "
    "server?",
    setup="The experiment of accept-queue with other backlogs: nobody calls accept(), and three "
    "more clients come than find a place.",
    prediction="One more than the backlog, each time: even with 0 there is one. The backlog is "
    "a wish: the kernel cuts it down to net.core.somaxconn (4,096, before Linux 5.4 it was 128).",
    parameters=(Parameter("backlog", Kind.COUNT, 5, 0, 128, "of listen()"),),
    server=server,
    client=client,
    experiment=until_the_server_was_told,
    sysctls=lambda p: {"server": {"net.core.somaxconn": "4096"}},
    expects=(
        Expect("connects that succeed", Kind.COUNT, lambda p: p.backlog + 1,
               lambda e: e.returned["client"], "sk_acceptq_is_full() of Linux; man 2 listen"),
        Expect("clients whose SYN is dropped", Kind.COUNT, lambda p: MORE, unanswered,
               "tcp_conn_request() of Linux: no answer, so that a retry may succeed"),
    ),
    sweep=Sweep("backlog", (0, 1, 5, 128)),
    connection=dropped,
    next="`netlab study abort-on-overflow`: when the last ACK finds the queue full.",
)  # fmt: skip
