"""Skills are read strictly, written so that the same is read back, and shown step by step."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engrain.errors import EngrainError, FormatError, InputError
from engrain.memory import derive
from engrain.memory.skills import (
    Skill,
    activated,
    catalogue,
    file_of,
    memory_of_skill,
    parse,
    problems,
    read,
    render,
    skill_in,
    write,
)
from engrain.records import Delta, Scope

KILN = Skill(
    name="fire-the-kiln",
    description="Fires the kiln --- use it when pots are dry: bisque or glaze.",
    body="1. Close the flap.\n2. Wait 20 minutes.\n\n---\n\nSee references/cones.md.",
    metadata={"version": "1.0"},
    allowed_tools="Bash Read",
    files={"references/cones.md": "Cone 6 is 1222 degrees.\n"},
)
LINES = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029\x85\ufeff"), max_size=80
)


def front(**fields: str) -> str:
    given = {"name": "a-skill", "description": "Does a thing."} | fields
    return "---\n" + "".join(f"{k.replace('_', '-')}: {v}\n" for k, v in given.items()) + "---\nbody\n"


def test_three_hyphens_inside_a_value_or_the_body_end_nothing() -> None:
    assert parse(render(KILN), files=KILN.files) == KILN
    assert parse(front(description="Compare A --- B")).description == "Compare A --- B"


@given(
    st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,3}", fullmatch=True), LINES.filter(str.strip), st.lists(LINES, max_size=5),
    st.dictionaries(LINES, LINES, max_size=3), LINES,
)  # fmt: skip
def test_what_is_written_is_read_back(
    name: str, description: str, lines: list[str], metadata: dict[str, str], license: str
) -> None:
    skill = Skill(
        name=name, description=description, body="\n".join(lines).strip("\n"), metadata=metadata, license=license
    )
    assert parse(render(skill)) == skill


def test_an_unquoted_colon_is_taken_as_meant() -> None:
    assert parse(front(description="Use it so: gently, it's hot")).description == "Use it so: gently, it's hot"


@pytest.mark.parametrize(("text", "match"), [
    ("", "begin with a line ---"), ("name: x", "begin with a line ---"), ("---\nname: a", "not closed"), ("---\n---\n", "no fields"),
    ("---\n- a\n---\n", "no fields"), (front(name="A_Skill"), "lower-case"), (front(name="a--b"), "lower-case"), (front(name="-a"), "lower-case"),
    (front(name="a" * 65), "1 to 64"), (front(description="''"), "has 0 characters"), (front(description="x" * 1025), "has 1025 characters"),
    (front(compatibility="x" * 501), "501 characters"), (front(colour="red"), "no skill has: colour"), (front(metadata="[1]"), "names and values"),
    (front(description="[a, b]"), "must be a text"), (front(license="{ a"), "no YAML"), ("---\nname: !!python/object:os.system x\n---\n", "0 characters"),
    (front(license="&a x", metadata="{b: *a}"), "another value"), (front(license="[" * 20_000), "no YAML"), (front(metadata="{a: [1]}"), "names and values"),
])  # fmt: skip
def test_what_is_no_skill_says_why_and_what_to_do(text: str, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        parse(text)


def test_a_folder_is_read_and_written_with_its_files(tmp_path: Path) -> None:
    folder = write(KILN, tmp_path)
    assert read(folder) == KILN and (folder / "references" / "cones.md").read_text().startswith("Cone 6")
    with pytest.raises(InputError, match="there already"):
        write(KILN, tmp_path)
    folder.rename(tmp_path / "other")
    with pytest.raises(FormatError, match="that of its folder"):
        read(tmp_path / "other")
    with pytest.raises(FormatError, match=r"no SKILL\.md"):
        read(tmp_path)


def test_values_are_texts_as_they_are_written() -> None:
    assert parse(front(metadata="{version: 1.10, size: 1_000}", license="2024-13-45")).metadata == {
        "version": "1.10",
        "size": "1_000",
    }
    assert parse(front(name="010")).name == "010"


def test_files_that_lead_out_or_are_no_text_are_refused(tmp_path: Path) -> None:
    folder = write(KILN, tmp_path)
    (tmp_path / "secret").write_text("x")
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(FormatError, match="leads out"):
        read(folder)
    (folder / "link").unlink()
    (folder / "image.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(FormatError, match="no text"):
        read(folder)
    (folder / "image.png").unlink()
    (folder / "SKILL.md").unlink()
    (folder / "SKILL.md").symlink_to(tmp_path / "secret")
    with pytest.raises(FormatError, match="leads out"):
        read(folder)
    for path in ("../up", "/etc/passwd", "a/../../b", "a\\b", "./SKILL.md", "SKILL.md/x", "a\0b"):
        assert problems(Skill(name="a", description="b", files={path: ""}))
        with pytest.raises(EngrainError):
            write(Skill(name="a", description="b", files={path: ""}), tmp_path)


def test_it_is_shown_step_by_step() -> None:
    assert catalogue([KILN]) == f"- fire-the-kiln: {KILN.description}" and catalogue([]) == ""
    assert activated(KILN).startswith(
        '<skill name="fire-the-kiln">\n1. Close'
    ) and "- references/cones.md" in activated(KILN)
    assert "1222" not in activated(KILN) and "1222" in file_of(KILN, "references/cones.md")
    with pytest.raises(InputError, match=r"it has references/cones\.md"):
        file_of(KILN, "cones.md")


def test_in_memory_a_new_version_ends_the_one_before_it_and_the_same_again_is_merged() -> None:
    scope = Scope()
    first = memory_of_skill(KILN, scope=scope, source="tell", now=1.0)
    again = memory_of_skill(KILN, scope=scope, source="tell", now=2.0)
    newer = Skill(name=KILN.name, description=KILN.description, body="1. Open the flap.")
    second = memory_of_skill(newer, scope=scope, source="tell", now=3.0, proposed=True)
    assert skill_in(first) == KILN
    assert [s.state for s in derive([first, again]).values()] == ["active", "merged"]
    assert [s.state for s in derive([first, second]).values()] == ["active", "proposed"]
    trusted = Delta(scope=scope, operator="accept", targets=(second.id,), reason="looked at")
    assert [s.state for s in derive([first, second, trusted]).values()] == ["superseded", "active"]
