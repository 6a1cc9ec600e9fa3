"""What a user asked for, by our names or Swoole's, checked, to the values of a server or a port.

The table itself is `option_table`. Nothing here asks the system; what the kernel makes of the
values is for `effective`. Every refusal is a UsageError that says what to do instead.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from netlab.model.errors import UsageError
from netlab.server.settings.option_table import (
    NOT_GIVEN,
    OPTION_NAMED,
    OPTIONS,
    Alias,
    Option,
    Options,
)
from netlab.server.sockets.framing import (
    LENGTH_TYPES,
    FixedSize,
    Framing,
    LengthFunction,
    LengthPrefix,
    Terminator,
)
from netlab.server.terms import SESSION_SLOTS, DispatchKind, FramingKind, Mode

__all__ = ["OPTIONS", "Option", "Options", "framing_from", "options_for_port", "options_from"]

# Swoole's options that have no counterpart, and what stands in their place.
_ABSENT: Final = {
    "chroot": "start it inside one",
    "daemonize": "run it under a service manager, or in the background of a shell",
    "discard_timeout_request": "messages of closed sessions are always dropped",
    "enable_coroutine": "callbacks are plain functions",
    "enable_delay_receive": "call pause(session) in the connect callback, resume(session) later",
    "enable_unsafe_event": "connect and close are always delivered",
    "heartbeat_check_interval": "time-outs are checked when they are due: give read_timeout",
    "message_queue_key": "queues are made for each start",
    "open_http_protocol": "use the http handler",
    "open_websocket_protocol": "use the websocket handler",
    "reload_async": "reloading always starts the new worker first",
    "send_yield": "watch buffer_full and buffer_empty",
    "single_thread": "give reactors=1",
    "stats_file": "give status=True and ask with netlab status",
}

# Which framing the parameters belong to; max_message belongs to all.
FRAMING_OF: Final = {
    "terminator": FramingKind.TERMINATOR,
    "length_type": FramingKind.LENGTH,
    "length_offset": FramingKind.LENGTH,
    "body_offset": FramingKind.LENGTH,
    "length_function": FramingKind.FUNCTION,
    "fixed_size": FramingKind.FIXED,
}
_ALIASES: Final = {alias.name: (option, alias) for option in OPTIONS for alias in option.swoole}


def options_from(base: Options | None = None, /, **given: Any) -> Options:
    """The values that were asked for, over those that `base` was asked for; raises UsageError."""
    asked = _asked(given)
    if base is not None:
        asked = {name: getattr(base, name) for name in base.given} | asked
    options = replace(Options(**asked), given=frozenset(asked))
    options = _derived(options)
    for check in _CHECKS:
        check(options)
    return options


def options_for_port(base: Options, /, **given: Any) -> Options:
    """The values of one more address: those of `base`, but what is given here counts first.

    A framing given here replaces the server's whole framing.
    """
    asked = _asked(given)
    for name in asked:
        if not OPTION_NAMED[name].per_port:
            raise UsageError(f"{name} is the same for all addresses", "give it to the server")
    if any(name == "framing" or name in FRAMING_OF for name in asked):
        kept = base.given - {"framing", *FRAMING_OF}
        base = replace(base, given=kept)
    return options_from(base, **asked)


def framing_from(options: Options) -> Callable[[], Framing] | None:
    """What makes the framing of a new connection; None when there is none and pieces pass as is."""
    longest = options.max_message
    match options.framing:
        case FramingKind.TERMINATOR:
            return lambda: Terminator(options.terminator, longest)
        case FramingKind.LENGTH:
            return lambda: LengthPrefix(
                options.length_type, options.length_offset, options.body_offset, longest
            )
        case FramingKind.FIXED:
            return lambda: FixedSize(options.fixed_size)
        case FramingKind.FUNCTION:
            length_of = options.length_function
            assert length_of is not None  # _check_framing
            return lambda: LengthFunction(length_of, longest)
    return None


def value_from_text(name: str, text: str) -> Any:
    """What a user typed as the value of an option, by our name or Swoole's."""
    option, alias = _find(name)
    kind = (alias.kind if alias else None) or option.kind
    try:
        return kind.parse(text)
    except ValueError as error:
        raise UsageError(f"{name} is {text!r}", f"give {error}") from None


def _asked(given: dict[str, Any]) -> dict[str, Any]:
    """Checked values under our own names."""
    asked: dict[str, Any] = {}
    named: dict[str, str] = {}
    for name, value in given.items():
        option, alias = _find(name)
        kind = (alias.kind if alias else None) or option.kind
        try:
            checked = kind.check(value)
        except ValueError as error:
            raise UsageError(f"{name} is {value!r}", f"give {error}") from None
        if alias is not None and alias.translate is not None:
            checked = alias.translate(checked)
            if checked is NOT_GIVEN:
                continue
            try:
                checked = option.kind.check(checked)
            except ValueError as error:
                meant = f"{name} is {value!r}, {option.name} then {checked!r}"
                raise UsageError(meant, f"give {error}") from None
        if option.name in asked and asked[option.name] != checked:
            _refuse_both(option.name, named[option.name], name)
        asked[option.name] = checked
        named[option.name] = name
    return asked


def _refuse_both(meant: str, first: str, second: str) -> None:
    if meant == "framing":
        raise UsageError(f"two framings on one port: {first} and {second}", "choose one")
    raise UsageError(f"{first} and {second} both mean {meant}, and differ", "give one of them")


def _find(name: str) -> tuple[Option, Alias | None]:
    if name in OPTION_NAMED:
        return OPTION_NAMED[name], None
    if name in _ALIASES:
        return _ALIASES[name]
    if name in _ABSENT:
        raise UsageError(f"there is no option {name}", _ABSENT[name])
    near = difflib.get_close_matches(name, [*OPTION_NAMED, *_ALIASES], n=1)
    hint = f"did you mean {near[0]}?" if near else "netlab serve --help lists them"
    raise UsageError(f"there is no option {name}", hint)


def _derived(options: Options) -> Options:
    """Fill in what follows from other options, where it was not given."""
    made: dict[str, Any] = {}
    given = options.given
    if "high_watermark" not in given:
        made["high_watermark"] = options.output_buffer * 4 // 5
    if "low_watermark" not in given:
        high = made.get("high_watermark", options.high_watermark)
        made["low_watermark"] = min(options.output_buffer // 5, high)
    if "body_offset" not in given:
        made["body_offset"] = options.length_offset + LENGTH_TYPES[options.length_type].size
    if "dispatch" not in given and options.dispatch_func is not None:
        made["dispatch"] = DispatchKind.FUNCTION
    if "framing" not in given:
        kinds = sorted({FRAMING_OF[name] for name in given if name in FRAMING_OF})
        if len(kinds) > 1:
            raise UsageError(f"two framings on one port: {' and '.join(kinds)}", "choose one")
        if kinds:
            made["framing"] = kinds[0]
    return replace(options, **made)


def _check_framing(options: Options) -> None:
    kind = options.framing
    for name in sorted(options.given):
        belongs_to = FRAMING_OF.get(name)
        if belongs_to is not None and belongs_to is not kind:
            raise UsageError(
                f"two framings on one port: {kind}, and {name} of {belongs_to}", "choose one"
            )
    if kind is FramingKind.FUNCTION and options.length_function is None:
        raise UsageError("framing by function, without a function", "give length_function")
    if kind is FramingKind.FIXED and not options.fixed_size:
        raise UsageError("messages of a fixed size, without the size", "give fixed_size")
    least = {
        FramingKind.FIXED: options.fixed_size,
        FramingKind.TERMINATOR: len(options.terminator),
        FramingKind.LENGTH: options.length_offset + LENGTH_TYPES[options.length_type].size,
    }.get(kind, 0)
    if least > options.max_message:
        raise UsageError(
            f"the shortest message has {least} bytes, max_message is {options.max_message}",
            f"give max_message at least {least}",
        )


def _check_processes(options: Options) -> None:
    if options.tasks and options.mode in (Mode.SINGLE, Mode.THREADS):
        raise UsageError(
            f"{options.mode} mode has no task workers, and tasks is {options.tasks}",
            "give mode=base or mode=process, or tasks=0",
        )
    if options.dispatch is DispatchKind.FUNCTION and options.dispatch_func is None:
        raise UsageError("dispatch by function, without a function", "give dispatch_func")
    if options.dispatch is not DispatchKind.FUNCTION and options.dispatch_func is not None:
        raise UsageError(
            f"dispatch_func is given, and dispatch is {options.dispatch}",
            "give dispatch=function, or no function",
        )
    slots = options.max_connections * (options.workers if options.mode is Mode.BASE else 1)
    if slots > SESSION_SLOTS:
        raise UsageError(
            f"{options.workers} workers with {options.max_connections} connections each"
            f" are more than {SESSION_SLOTS} sessions",
            f"give max_connections at most {SESSION_SLOTS // options.workers}",
        )


def _check_buffers(options: Options) -> None:
    low, high, limit = options.low_watermark, options.high_watermark, options.output_buffer
    if high > limit:
        raise UsageError(
            f"high_watermark {high} is above output_buffer {limit}, and never reached",
            f"give at most {limit}",
        )
    if high and low > high:
        raise UsageError(
            f"low_watermark {low} is above high_watermark {high}", f"give at most {high}"
        )


_CHECKS: Final[tuple[Callable[[Options], None], ...]] = (
    _check_framing,
    _check_processes,
    _check_buffers,
)
