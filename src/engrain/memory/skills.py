"""Agent Skills: folders with a SKILL.md, read strictly, written so that any agent reads the same back, and shown step by step.

The form is that of agentskills.io (specification.mdx of agentskills/agentskills, 2026-08): a front matter in YAML between two lines `---`, then Markdown. Only a
whole line ends the front matter, so that `---` inside a value stays (the reference parser cuts there in silence). Shown are first names
and descriptions, then one body, then single files.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from engrain.errors import FormatError, InputError, NotFound
from engrain.records import Memory, Scope, content_hash

FILE = "SKILL.md"
MOST_NAME, MOST_DESCRIPTION, MOST_COMPATIBILITY = 64, 1024, 500
LONGEST_BODY = 500
"""Lines that the specification advises at most."""
DEEPEST = 8
"""Values within values of a front matter, where a skill has two; the time to read more grows with the cube of that."""
LARGEST_FILE, MOST_FILES = 256 << 10, 200
"""Bytes of one file, and files of one skill, that are taken into memory."""
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_KNOWN = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")
_NO_YAML: tuple[type[Exception], ...] = (ValueError, RecursionError)
_UNQUOTED = re.compile(r"^(description|license|compatibility):[ \t]+(?![\"'|>\[{&*!%@`])(.*:.*)$", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """One skill, as its folder says it."""

    name: str
    description: str
    """What it does and when to use it: all that is shown before it is asked for."""
    body: str = ""
    license: str = ""
    compatibility: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    allowed_tools: str = ""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """Text of its other files, by their path in the folder."""


def parse(text: str, *, files: Mapping[str, str] | None = None) -> Skill:
    """The skill of a SKILL.md; FormatError naming what is wrong and the remedy. An unquoted colon in a description, which YAML refuses, is taken
    as meant."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if not lines or lines[0].rstrip() != "---":
        raise FormatError(f"{FILE} must begin with a line --- and its front matter (name, description)")
    end = next((i for i, line in enumerate(lines[1:], start=1) if line.rstrip() == "---"), None)
    if end is None:
        raise FormatError(f"the front matter of {FILE} is not closed; end it with a line ---")
    front = "\n".join(lines[1:end])
    try:
        found = _fields_of(front)
    except _NO_YAML as error:
        try:
            found = _fields_of(_UNQUOTED.sub(lambda m: f"{m[1]}: {_quoted(m[2])}", front))
        except _NO_YAML:
            raise FormatError(f"the front matter of {FILE} is no YAML ({_problem(error)}); quote the value") from error
    if not isinstance(found, dict):
        raise FormatError(f"the front matter of {FILE} holds no fields; give name and description")
    fields: dict[str, Any] = {str(k): v for k, v in found.items()}
    if unknown := sorted(fields.keys() - set(_KNOWN)):
        raise FormatError(f"{FILE} has fields that no skill has: {', '.join(unknown)}; put them under metadata")
    metadata = fields.get("metadata") or {}
    if not isinstance(metadata, dict) or any(isinstance(v, (dict, list)) for v in metadata.values()):
        raise FormatError(f"metadata of {FILE} must be names and values, not {type(metadata).__name__}")
    tools = fields.get("allowed-tools") or ""
    skill = Skill(
        name=_text(fields, "name"), description=_text(fields, "description"), license=_text(fields, "license"),
        compatibility=_text(fields, "compatibility"), metadata={str(k): str(v) for k, v in metadata.items()},
        allowed_tools=" ".join(map(str, tools)) if isinstance(tools, list) else str(tools),
        body="\n".join(lines[end + 1 :]).strip("\n"), files=dict(files or {}),
    )  # fmt: skip
    if wrong := problems(skill):
        raise FormatError(f"{FILE}: {'; '.join(wrong)}")
    return skill


def _fields_of(front: str) -> Any:
    """The front matter, every value as the text that it is written as; ValueError for what refers to another place in it, for that can grow without
    end."""
    import yaml

    try:
        depth = 0
        for event in yaml.parse(front, Loader=yaml.BaseLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it refers to another value of itself")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise ValueError(f"its values are nested more than {DEEPEST} deep")
        return yaml.load(
            front, Loader=yaml.BaseLoader
        )  # BaseLoader makes texts, lists and mappings of texts, and nothing else
    except yaml.YAMLError as error:
        raise ValueError(getattr(error, "problem", None) or str(error)) from error


def problems(skill: Skill) -> list[str]:
    """What the specification does not allow, each with the remedy; empty for a good skill."""
    found: list[str] = []
    if not _NAME.fullmatch(skill.name) or len(skill.name) > MOST_NAME:
        found.append(
            f"name {skill.name!r} must be 1 to {MOST_NAME} lower-case letters, digits and single hyphens between them"
        )
    if not skill.description.strip() or len(skill.description) > MOST_DESCRIPTION:
        found.append(
            f"the description has {len(skill.description)} characters; say in 1 to {MOST_DESCRIPTION} what it does and when to use it"
        )
    if len(skill.compatibility) > MOST_COMPATIBILITY:
        found.append(f"compatibility has {len(skill.compatibility)} characters, {MOST_COMPATIBILITY} at most")
    found += [f"{path!r} is no path inside the folder" for path in skill.files if not _inside(path)]
    found += [
        f"{path!r} is a file and a folder"
        for path in skill.files
        for other in skill.files
        if other.startswith(f"{path}/")
    ]
    return found


def render(skill: Skill) -> str:
    """The SKILL.md; InputError for a skill that would not be one. `parse` reads the same back, but for blank lines around the body and the form of
    line ends."""
    import yaml

    if wrong := problems(skill):
        raise InputError(f"this is no skill: {'; '.join(wrong)}")
    front: dict[str, Any] = {"name": skill.name, "description": skill.description}
    front |= {k: v for k, v in (("license", skill.license), ("compatibility", skill.compatibility)) if v}
    if skill.metadata:
        front["metadata"] = dict(skill.metadata)
    if skill.allowed_tools:
        front["allowed-tools"] = skill.allowed_tools
    text = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=1 << 20)
    return f"---\n{text}---\n\n{skill.body.strip(chr(10))}\n"


def read(folder: Path) -> Skill:
    """The skill in a folder of its name, with the text of its other files. FormatError with the remedy for what is none, what is too large, and
    for links that lead out of it."""
    file = folder / FILE
    if not file.is_file():
        raise FormatError(f"{folder} holds no {FILE}; give the folder of a skill")
    texts: dict[str, str] = {}
    root = folder.resolve()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() or p.is_symlink()):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") or part == "__pycache__" for part in PurePosixPath(name).parts):
            continue
        if path.is_symlink() or root not in path.resolve().parents:
            raise FormatError(f"{path} leads out of the skill's folder; copy the file instead of linking to it")
        if len(texts) > MOST_FILES or path.stat().st_size > LARGEST_FILE:
            raise FormatError(
                f"{path}: a skill may have {MOST_FILES} files of {LARGEST_FILE >> 10} kB at most; take out what it does not need"
            )
        try:
            texts[name] = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            raise FormatError(f"{path} is no text in UTF-8; a skill in memory holds text files only") from None
    skill = parse(texts.pop(FILE), files=texts)
    if skill.name != root.name:
        raise FormatError(f"{file}: name {skill.name!r} must be that of its folder, {root.name!r}; rename one of them")
    return skill


def write(skill: Skill, into: Path) -> Path:
    """Write the skill's folder into another one, for any agent to use; InputError if something is there under its name already."""
    text, folder = render(skill), into / skill.name
    if folder.exists():
        raise InputError(f"{folder} is there already; move it away, or write somewhere else")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=".skill-") as draft:  # whole or not at all
        for name, content in {FILE: text, **skill.files}.items():
            path = Path(draft, skill.name, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode("utf-8"))
        Path(draft, skill.name).rename(folder)
    return folder


# -- in memory ---------------------------------------------------------------------------------------------------------


def memory_of_skill(
    skill: Skill, *, scope: Scope, source: str, now: float, proposed: bool = False, causes: Sequence[str] = ()
) -> Memory:
    """The skill as a memory: its text is what it is found by. Another version of the same name ends it."""
    return Memory(
        scope=scope, kind="skill", text=f"{skill.name}: {skill.description}", source=source, valid_from=now, recorded_at=now,
        proposed=proposed, causes=tuple(causes),
        attributes=(("name", skill.name), ("version", content_hash([render(skill), dict(skill.files)], length=12)), (FILE, render(skill)),
                    *((f"file:{name}", text) for name, text in sorted(skill.files.items()))),
    )  # fmt: skip


def skill_in(memory: Memory) -> Skill:
    """The skill that a memory is."""
    files = {name.removeprefix("file:"): text for name, text in memory.attributes if name.startswith("file:")}
    return parse(memory.attribute(FILE), files=files)


# -- shown -------------------------------------------------------------------------------------------------------------


def catalogue(skills: Iterable[Skill]) -> str:
    """First: names and descriptions, one a line; empty where there are none."""
    return "\n".join(f"- {s.name}: {' '.join(s.description.split())}" for s in skills)


def activated(skill: Skill) -> str:
    """Then: the body, marked so that nobody shortens it, and the names of the files that may be asked for."""
    files = "".join(f"\n- {name}" for name in sorted(skill.files))
    return f'<skill name="{skill.name}">\n{skill.body}{f"{chr(10)}{chr(10)}Files:{files}" if files else ""}\n</skill>'


def file_of(skill: Skill, path: str) -> str:
    """Last: one file. NotFound naming those that there are."""
    if path not in skill.files:
        raise NotFound(f"{skill.name} has no file {path!r}; it has {', '.join(sorted(skill.files)) or 'none'}")
    return skill.files[path]


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        raise FormatError(f"{name} of {FILE} must be a text, not {type(value).__name__}; quote it")
    return str(value)


def _quoted(value: str) -> str:
    return "'" + value.strip().replace("'", "''") + "'"


def _problem(error: Exception) -> str:
    return " ".join(str(error).split())


def _inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    plain = bool(parts) and path == "/".join(parts) and not {"..", "/"} & set(parts)
    return plain and "\\" not in path and "\0" not in path and parts[0] != FILE
