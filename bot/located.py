"""YAML that remembers its lines, so that a refusal can say file and line."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import yaml


class AssistantError(ValueError):
    """The assistant's files cannot be used; says file, line (from 1) and what is wrong."""

    def __init__(self, file: str, line: int, what: str):
        super().__init__(f"{file}:{line}: {what}")
        self.file, self.line, self.what = file, line, what


class Table(dict[Any, Any]):
    """A YAML mapping. `file` and `line` say where it begins, `lines` where each key stands."""

    def __init__(self, file: str, line: int):
        super().__init__()
        self.file, self.line = file, line
        self.lines: dict[Any, int] = {}

    def refuse(self, what: str, key: Any = None) -> NoReturn:
        """Raise `AssistantError` at `key`, or at the beginning of the mapping."""
        raise AssistantError(self.file, self.lines.get(key, self.line), what)

    def only(self, keys: Iterable[str], where: str) -> None:
        """Refuse any key that is not one of `keys`; `where` names this mapping in the message."""
        allowed = set(keys)
        for key in self:
            if key not in allowed:
                self.refuse(f"unsupported: {key!r} in {where} (supported: {', '.join(sorted(allowed))})", key)


class Rows(list[Any]):
    """A YAML sequence. `lines` says where each item stands."""

    def __init__(self, file: str, line: int):
        super().__init__()
        self.file, self.line = file, line
        self.lines: list[int] = []

    def refuse(self, what: str, index: int | None = None) -> NoReturn:
        raise AssistantError(self.file, self.line if index is None else self.lines[index], what)


def load(path: Path) -> Table:
    """Read a YAML file whose top level is a mapping.

    Raises: AssistantError: not YAML, not a mapping, or a key stands twice in one mapping.
    """
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as problem:
        line = problem.problem_mark.line + 1 if problem.problem_mark else 1
        raise AssistantError(str(path), line, f"not YAML: {problem.problem}") from problem
    value = _Builder(str(path)).build(node) if node is not None else Table(str(path), 1)
    if not isinstance(value, Table):
        raise AssistantError(str(path), 1, "the top level must be a mapping")
    return value


class _Builder:
    """Turns the nodes of one file into values."""

    def __init__(self, file: str):
        self.file = file
        self.scalars = yaml.constructor.SafeConstructor()

    def build(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._table(node)
        if isinstance(node, yaml.SequenceNode):
            rows = Rows(self.file, node.start_mark.line + 1)
            rows.extend(self.build(item) for item in node.value)
            rows.lines = [item.start_mark.line + 1 for item in node.value]
            return rows
        return self.scalars.construct_object(node)

    def _table(self, node: yaml.MappingNode) -> Table:
        table = Table(self.file, node.start_mark.line + 1)
        for key_node, value_node in node.value:
            key, line = self.build(key_node), key_node.start_mark.line + 1
            if key in table:
                raise AssistantError(self.file, line, f"{key!r} stands twice")
            table.lines[key] = line
            table[key] = self.build(value_node)
        return table


def table_at(parent: Table, key: Any, what: str) -> Table:
    """Return `parent[key]` as a mapping, empty if absent. Raises: AssistantError: it is something else."""
    value = parent.get(key)
    if value is None:
        return Table(parent.file, parent.lines.get(key, parent.line))
    if not isinstance(value, Table):
        parent.refuse(f"{what} must be a mapping", key)
    return value


def rows_at(parent: Table, key: Any, what: str) -> Rows:
    """Return `parent[key]` as a list, empty if absent. Raises: AssistantError: it is something else."""
    value = parent.get(key)
    if value is None:
        return Rows(parent.file, parent.lines.get(key, parent.line))
    if not isinstance(value, Rows):
        parent.refuse(f"{what} must be a list", key)
    return value


def plain(value: Any) -> Any:
    """Return `value` as ordinary dicts and lists."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value
