"""Socket addresses as Python gives them -> text, host names looked up; the socket at the other end
of a Unix socket.

Read first: man 7 unix, man 7 sock_diag; linux/unix_diag.h; setipaddr in Modules/socketmodule.c of
CPython 3.11.
"""

from __future__ import annotations

import _socket
import socket
import struct

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_UDIAG_SHOW_PEER = 4
_UNIX_DIAG_PEER = 2
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBHIIIII")
_ANSWER_BYTES = 16  # struct unix_diag_msg
_ATTRIBUTE = struct.Struct("=HH")
_UCRED = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_ANY_COOKIE = 0xFFFFFFFF
_MOST_PARTS: dict[int, int] = {socket.AF_INET: 2, socket.AF_INET6: 4}
# What setipaddr makes of these names, without asking anybody.
_FIXED: dict[tuple[int, str], str] = {
    (socket.AF_INET, ""): "0.0.0.0",
    (socket.AF_INET6, ""): "::",
    (socket.AF_INET, "<broadcast>"): "255.255.255.255",
}


def address_text(family: int, address: object) -> str:
    """The address as netlab prints it: `127.0.0.1:80`, `[::1]:80`, `unix:/path`, `unix:@name`."""
    if family == socket.AF_INET and isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    if family == socket.AF_INET6 and isinstance(address, tuple) and len(address) >= 2:
        return f"[{address[0]}]:{address[1]}"
    if family == socket.AF_UNIX:
        name = address if address is not None else ""
        if isinstance(name, bytes | bytearray):
            name = bytes(name).decode("utf-8", "backslashreplace")
        if isinstance(name, str):
            return "unix:" + ("@" + name[1:] if name.startswith("\0") else name)
    return repr(address)[:200]


def is_numeric(family: int, address: object) -> bool:
    """True when the kernel sees this address as it stands: no host name to look up."""
    if family not in (socket.AF_INET, socket.AF_INET6):
        return True
    if not isinstance(address, tuple) or not address or not isinstance(address[0], str):
        return False
    try:
        socket.inet_pton(family, address[0].partition("%")[0])
    except (OSError, ValueError):
        return False
    return True


def looked_up(family: int, address: object) -> object:
    """An address whose host is a name, with the number that the name stands for in its place.

    Asked as setipaddr asks, so that the plain call with the answer does what it would have done
    with the name; and raises gaierror as it would. What the plain call may refuse for another
    reason, before it looks a name up, is given back as it is.
    """
    most = _MOST_PARTS.get(family, 0)
    if type(address) is not tuple or not 2 <= len(address) <= most:
        return address
    host, port, *rest = address
    if type(host) is not str or not host.isascii() or "\0" in host:
        return address
    if type(port) is not int or not -(1 << 31) <= port < 1 << 31:
        return address
    if any(type(part) is not int or not 0 <= part < 1 << 32 for part in rest):
        return address
    number = _FIXED.get((family, host))
    if number is None:
        if host == "<broadcast>":
            return address
        # As bytes: text would be encoded as IDNA, which setipaddr does to no ASCII name.
        number = str(_socket.getaddrinfo(host.encode("ascii"), None, family)[0][4][0])
    return (number, *address[1:])


def maybe_local(sock: socket.socket) -> str | None:
    """The socket's own address; None where it has none yet."""
    try:
        address = sock.getsockname()
    except OSError:
        return None
    if isinstance(address, tuple) and address[1:2] == (0,):
        return None
    return address_text(sock.family, address)


def maybe_peer(sock: socket.socket) -> str | None:
    """The address at the other end; None where it is not connected."""
    try:
        return address_text(sock.family, sock.getpeername())
    except OSError:
        return None


def maybe_unix_peer_inode(inode: int) -> int | None:
    """The inode of the socket that the Unix socket `inode` is connected to (sock_diag).

    None where there is none, where it was not accepted yet (it has no inode then), or where the
    kernel refuses to say. Needs no privilege.
    """
    request = _REQUEST.pack(
        socket.AF_UNIX, 0, 0, _ANY_COOKIE, inode, _UDIAG_SHOW_PEER, _ANY_COOKIE, _ANY_COOKIE
    )
    header = _HEADER.pack(
        _HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0
    )  # fmt: skip
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as diag:
            diag.setblocking(True)
            diag.send(header + request)
            answer = diag.recv(8192)
    except OSError:
        return None
    return _peer_in(answer)


def maybe_unix_peer_pid(sock: socket.socket) -> int | None:
    """The process that connected an accepted Unix socket, also when its end is closed already."""
    try:
        answer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    except OSError:
        return None
    pid: int = _UCRED.unpack(answer)[0]
    return pid or None


def _peer_in(answer: bytes) -> int | None:
    length, kind, _, _, _ = _HEADER.unpack_from(answer)
    if kind != _SOCK_DIAG_BY_FAMILY:
        return None
    at = _HEADER.size + _ANSWER_BYTES
    while at + _ATTRIBUTE.size <= min(length, len(answer)):
        size, attribute = _ATTRIBUTE.unpack_from(answer, at)
        if attribute == _UNIX_DIAG_PEER and size >= 8:
            return int.from_bytes(answer[at + 4 : at + 8], "little") or None
        at += max(4, (size + 3) & ~3)
    return None
