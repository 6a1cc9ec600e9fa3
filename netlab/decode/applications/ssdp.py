"""SSDP, by which UPnP devices find each other: one datagram -> what it asks, tells or answers.

The form is HTTP's, in datagrams, mostly by multicast to 239.255.255.250 or ff02::c port 1900.
Read first: UPnP Device Architecture 2.0, 1.2 (advertisement) and 1.3 (search).
"""

from __future__ import annotations

from netlab.decode.applications.message import Application, Said
from netlab.decode.applications.reading import Draft, text_of

_STARTS = (b"M-SEARCH ", b"NOTIFY ", b"HTTP/1.1 ")
_UDA = "UPnP Device Architecture 2.0 {}"
_FIELDS = {
    "HOST": "where the message goes: the group that all devices listen to",
    "MAN": "what the request is for; always ssdp:discover",
    "MX": "devices wait a random time of up to so many seconds, so that not all answer at once",
    "ST": "what is searched for, or what answers",
    "NT": "what the device says that it is",
    "NTS": "whether it comes, stays or goes",
    "USN": "the unique name of device and service",
    "LOCATION": "where the device's description is",
    "CACHE-CONTROL": "how long the device may be thought to be there",
    "SERVER": "system, UPnP version and product",
    "EXT": "only there for older software",
    "BOOTID.UPNP.ORG": "greater each time the device starts",
    "CONFIGID.UPNP.ORG": "changes with the device's description",
    "SEARCHPORT.UPNP.ORG": "where the device can be searched for alone",
    "USER-AGENT": "who searches",
}
_STATES = {"ssdp:alive": "is here", "ssdp:byebye": "goes", "ssdp:update": "changes"}


def _datagram(payload: bytes) -> list[Said]:
    draft = Draft("SSDP", 0)
    head, end, rest = payload.partition(b"\r\n\r\n")
    fields: dict[str, str] = {}
    at = 0
    lines = (head + end[:2]).split(b"\n")
    for number, raw in enumerate(lines):
        line = raw.removesuffix(b"\r")
        if number == 0:
            first = text_of(line)
            draft.add("start line", first, 0, len(line), "", _UDA.format(_section(line)))
        elif line:
            name, colon, value = line.partition(b":")
            if not colon:
                draft.fault = draft.fault or f"no field at offset {at}"
            else:
                key = text_of(name.strip()).upper()
                text = text_of(value.strip())
                fields.setdefault(key, text)
                draft.add(key, text, at, at + len(line), _FIELDS.get(key, ""),
                          _UDA.format(_section(lines[0])))  # fmt: skip
        at += len(raw) + 1
    draft.text = _line(first, fields)
    if not first.encode(errors="replace").startswith(_STARTS):
        draft.fault = "no start line of SSDP"
    elif not end:
        draft.fault = draft.fault or "no empty line ends the fields"
    elif rest:
        draft.add("body", f"{len(rest)} bytes", len(payload) - len(rest), len(payload))
    return [draft.said(len(payload))]


def _section(start: bytes) -> str:
    if start.startswith(b"NOTIFY"):
        return "1.2.2"
    return "1.3.2" if start.startswith(b"M-SEARCH") else "1.3.3"


def _line(first: str, fields: dict[str, str]) -> str:
    if first.startswith("M-SEARCH"):
        text = f"who is {fields.get('ST', '?')}?"
        return text + (f" (answer within {fields['MX']} s)" if fields.get("MX") else "")
    if first.startswith("NOTIFY"):
        told = fields.get("NTS", "")
        state = _STATES.get(told, f"tells {told or 'nothing'}")
        text = f"{fields.get('NT', '?')} {state}"
    elif first.startswith("HTTP/1.1 200"):
        text = f"{fields.get('ST', '?')} is here"
    else:
        return first[:120]
    return text + (f": {fields['LOCATION']}" if fields.get("LOCATION") else "")


def _likely(client: bytes, server: bytes) -> bool:
    """A search, or an advertisement, in the words of SSDP alone."""
    return any(
        data.startswith((b"M-SEARCH * HTTP/1.1\r\n", b"NOTIFY * HTTP/1.1\r\n"))
        for data in (client, server)
    )


APPLICATION = Application("ssdp", "SSDP", frozenset(), frozenset({1900}), _likely, None, _datagram)
