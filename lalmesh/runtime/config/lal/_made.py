"""What a conversion makes: values of keys here, and what is to be said of each key of lal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from lalmesh.runtime.config._keys import all_keys
from lalmesh.runtime.config.lal._file import LalFile
from lalmesh.runtime.config.lal._row import Fate
from lalmesh.runtime.config.lal._rows import ROWS


@dataclass(slots=True, frozen=True, kw_only=True)
class Note:
    """What became of one key of lal."""

    key: str  #: of lal; ``lal itself`` for what it lets nobody configure
    fate: Fate
    ours: tuple[str, ...]  #: keys here
    says: str  #: sentences

    def __str__(self) -> str:
        """On one line, for people."""
        arrow = f" -> {', '.join(self.ours)}" if self.ours else ""
        return f"{self.key}{arrow}: {self.says}"


@dataclass(slots=True, frozen=True)
class Conversion:
    """A file of lal as configuration of this server."""

    values: Mapping[str, object]  #: by the paths of keys here, secrets among them
    notes: tuple[Note, ...]  #: in the order of the file

    def report(self) -> str:
        """Every note, those together that have one fate; for people."""
        lines: list[str] = []
        for fate in Fate:
            found = [note for note in self.notes if note.fate is fate]
            if found:
                lines += [f"{fate.value}:", *(f"  {note}" for note in found)]
        return "\n".join(lines)


class Made:
    """What is made so far."""

    def __init__(self, lal: LalFile) -> None:
        """Begin with what the table says of the keys that `lal` gives."""
        self.values: dict[str, object] = {}
        self._notes = {key: Note(key=key, fate=row.fate, ours=row.ours, says=row.says) for key in lal.given if (row := ROWS[key])}
        self._unknown = [
            Note(key=key, fate=Fate.NOTHING, ours=(), says="No key of lal either, or of a version that was never released.")
            for key in lal.unknown
        ]
        self._fixed: list[Note] = []
        self._rules: list[str] = []

    def put(self, path: str, value: object) -> None:
        """The key at `path` gets `value`."""
        self.values[path] = value

    def rules(self, rules: Iterable[str]) -> None:
        """Who may publish and play, after the rules before: the first that matches counts."""
        self._rules += rules
        self.values["auth.rules"] = list(self._rules)

    def number(self, key: str, path: str, value: float) -> None:
        """The key at `path` gets `value` of lal's `key`, within what it takes."""
        ours = all_keys()[path]
        taken = min(max(value, ours.low or 0), ours.high or value)
        self.values[path] = int(taken) if ours.kind == "integer" else float(taken)
        if taken != value:
            self.remark(key, f"{value:g} is not taken here, so it is {taken:g}.")

    def remark(self, key: str, text: str) -> None:
        """Say `text` of lal's `key` besides: what was given is not what it will be."""
        note = self._notes.get(key)
        if note is not None:
            fate = Fate.DIFFERENT if note.fate is Fate.MAPPED else note.fate
            self._notes[key] = replace(note, fate=fate, says=f"{note.says} {text}")

    def fixed(self, path: str, value: object, says: str) -> None:
        """The key at `path` gets what lal does without asking."""
        self.values.setdefault(path, value)
        self._fixed.append(Note(key="lal itself", fate=Fate.MAPPED, ours=(path,), says=says))

    def done(self) -> Conversion:
        """The whole of it."""
        return Conversion(dict(self.values), (*self._notes.values(), *self._fixed, *self._unknown))
