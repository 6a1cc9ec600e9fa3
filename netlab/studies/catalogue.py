"""All studies there are, by topic, and how one is found: by its name, or in a reader's own file.

A topic is a package; its CONTENTS names its modules, each with one study, as a course takes them.
"""

from __future__ import annotations

import sys
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from itertools import chain
from pathlib import Path
from types import ModuleType

from netlab.model.errors import UsageError
from netlab.studies.raised import at_line
from netlab.studies.study import Study, Topic

_TOPICS = {
    Topic.LAYERS: "layers",
    Topic.HANDSHAKE: "handshake",
    Topic.BUFFERS: "buffers",
    Topic.SMALL_WRITES: "small_writes",
    Topic.TIMEOUTS: "timeouts",
    Topic.TEARDOWN: "teardown",
    Topic.UDP: "udp",
    Topic.CONGESTION: "congestion",
    Topic.IO_MODELS: "io_models",
    Topic.PROCESSES: "processes",
    Topic.IPC: "ipc",
}


@cache
def catalogue() -> dict[str, Study]:
    """Every study by its name, topics and studies in the order in which they are read."""
    found = {}
    for topic, folder in _TOPICS.items():
        package = import_module(f"netlab.studies.{folder}")
        for name in package.CONTENTS:
            study = _study_of(import_module(f"{package.__name__}.{name}"))
            assert study.topic is topic, f"{study.name} lies in the folder of another topic"
            found[study.name] = study
    return found


@cache
def lines() -> dict[str, str]:
    """What each study is about, in a line, by its name."""
    contents = (
        import_module(f"netlab.studies.{folder}").CONTENTS.values() for folder in _TOPICS.values()
    )
    return dict(zip(catalogue(), chain.from_iterable(contents), strict=True))


def find(name: str) -> Study:
    """A study by its name, or by the path of a file that has one. Raises UsageError."""
    if name.endswith(".py") or "/" in name:
        return _from_file(Path(name))
    studies = catalogue()
    if name in studies:
        return studies[name]
    near = get_close_matches(name, studies, n=1) or [n for n in studies if name in n]
    hint = f"is it {near[0]}?" if near else "`netlab study` lists them"
    raise UsageError(f"there is no study {name!r}", hint)


def _from_file(path: Path) -> Study:
    """A reader's own: its module is imported by its file's name, here and on the hosts."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "`netlab study new NAME` writes one")
    if not path.stem.isidentifier() or path.stem in sys.stdlib_module_names:
        raise UsageError(f"{path.name} cannot be imported by that name", "call it like my_study.py")
    sys.path.insert(0, str(path.resolve().parent))
    try:
        module = import_module(path.stem)
    except Exception as error:
        why = at_line(error, str(path.resolve()))
        raise UsageError(f"{path} cannot be imported", why) from None
    if Path(module.__file__ or "").resolve() != path.resolve():
        raise UsageError(f"there is another module {path.stem}", "give the file a name of its own")
    return _study_of(module)


def _study_of(module: ModuleType) -> Study:
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        raise UsageError(f"{module.__file__} has no study", "it must say STUDY = Study(...)")
    return study
