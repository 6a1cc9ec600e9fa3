"""What `netlab inspect` was asked for, and which options may stand together."""

from __future__ import annotations

from netlab.model.errors import UsageError
from netlab.model.records import dataclass


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of one `netlab inspect`, under their names in Python."""

    file: str
    view: str | None = None  # packets, connections, calls, messages
    message: int | None = None
    decode_as: tuple[str, ...] = ()
    tshark_compat: str = "4.0"
    connection: str | None = None
    packet: int | None = None
    deep: bool = False
    boxes: bool = False
    field: str | None = None
    stream: str | None = None
    form: str | None = None
    output: str | None = None
    states: bool = False
    facts: bool = False
    limit: int | None = None
    where: str | None = None
    as_json: bool = False

    @property
    def has_view(self) -> bool:
        """Whether more was asked for than the summary, which says itself what is damaged."""
        return any(one is not None for one in self._views)

    @property
    def is_overview(self) -> bool:
        """Whether it is of connections or of the whole, and of no packet."""
        one = self.connection, self.packet, self.message
        if self.view == "connections":
            return all(part is None for part in one)
        return self.view is None and self.where is None and all(part is None for part in one)

    @property
    def table(self) -> str:
        """The table that a condition is about; of a ladder it may be about calls instead."""
        if self.states:
            return "states"
        return "frames" if self.view in (None, "packets") else self.view

    @property
    def _views(self) -> tuple[str | int | None, ...]:
        return self.view, self.connection, self.packet, self.message

    @property
    def name(self) -> str:
        """The file in words."""
        return "standard input" if self.file == "-" else self.file

    def check(self) -> None:
        """Raise UsageError for options that do not go together."""
        given = sum(one is not None for one in self._views)
        if given > 1 and not (given == 2 and self.view == "messages" and self.connection):
            raise UsageError(
                "only one view at a time",
                "choose one of --connections, --packets, --calls, --messages, --connection N,"
                " --packet N, --message M",
            )
        self._check_packet()
        self._check_connection()
        one = "--packet N" if self.packet is not None else "--message M"
        if self.where is not None and (self.packet is not None or self.message is not None):
            raise UsageError("--where chooses among many", f"leave it out, or {one}")

    def _check_packet(self) -> None:
        looks = {"--deep": self.deep, "--boxes": self.boxes, "--field": self.field is not None}
        given = [name for name, is_given in looks.items() if is_given]
        if given and self.packet is None:
            raise UsageError(f"{given[0]} is about one packet", "add --packet N")
        if len(given) > 1:
            raise UsageError(
                "only one look at a packet at a time", f"choose one of {', '.join(given)}"
            )

    def _check_connection(self) -> None:
        looks = {
            "--states": self.states, "--facts": self.facts, "--stream": self.stream is not None
        }  # fmt: skip
        given = [name for name, is_given in looks.items() if is_given]
        if given and self.connection is None:
            raise UsageError(f"{given[0]} is about one connection", "add --connection N")
        if len(given) > 1:
            raise UsageError("only one view at a time", f"choose {' or '.join(given)}")
        if self.view == "messages" and given:
            raise UsageError("only one view at a time", f"choose --messages or {given[0]}")
        if self.facts and (self.where is not None or self.limit is not None):
            raise UsageError("--facts are of the whole connection", "leave out --where and --limit")
        if self.stream is None and (self.form is not None or self.output is not None):
            name = "--output" if self.form is None else "--as"
            raise UsageError(f"{name} is about a stream", "add --stream client, server or both")
        if self.limit and self.form in ("raw", "c"):
            raise UsageError(
                f"--limit is about rows, --as {self.form} has all bytes",
                "leave it out, or choose with --where",
            )
        if self.form is not None and self.as_json:
            raise UsageError("JSON has a form of its own", "leave out --as, or --json")
