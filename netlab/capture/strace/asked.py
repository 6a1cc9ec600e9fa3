"""What strace has to be asked for so that its log tells all that netlab reads: its options.

Times are the kernel's in ns, contents are left out (`-s 0`) unless they are asked for; lists of
descriptors and messages are printed whole nevertheless, which -s would cut, too.
What this module must not know: how strace is run, and where.
Read first: man 1 strace (-e trace, -e abbrev, -y, --absolute-timestamps, --syscall-times).
"""

from __future__ import annotations

from netlab.capture.strace.making import MAKING_OTHERS
from netlab.capture.strace.reader import UNDERSTOOD
from netlab.capture.strace.stops import SHOWN

# Of these the lists are printed whole, whatever -s says.
_WHOLE = ("poll", "ppoll", "epoll_wait", "epoll_pwait", "epoll_pwait2", "sendmsg", "recvmsg",
          "sendmmsg", "recvmmsg", "readv", "writev", "preadv2", "pwritev2", "pipe", "pipe2",
          "socketpair")  # fmt: skip

# It says which signal ended a process only of those that it is to tell of.
_ENDING = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGPIPE", "SIGALRM", "SIGABRT",
           "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGUSR1", "SIGUSR2")  # fmt: skip


def strace_options(*, content_bytes: int = 0, addresses: bool = True) -> list[str]:
    """The options of strace 5.5 or later; -o and the program, or -p, come behind them.

    `content_bytes`: so much of what each call moved is printed. `addresses`: of sockets, their
    addresses (-yy, which costs a dump of the kernel's sockets for each that is new) instead of
    their inodes alone. `?` before a name: this machine may not have such a call.
    """
    needed = UNDERSTOOD - MAKING_OTHERS  # -y tells what is no socket
    traced = ",".join(f"?{name}" for name in sorted(needed))
    return [
        "-f", "--absolute-timestamps=format:unix,precision:ns", "--syscall-times=ns",
        "-yy" if addresses else "-y", "-x", f"-s{content_bytes}",
        "-e", f"trace={traced}", "-e", f"abbrev=!{','.join(_WHOLE)}",
        "-e", f"signal={','.join((*SHOWN, *_ENDING))}",
    ]  # fmt: skip
