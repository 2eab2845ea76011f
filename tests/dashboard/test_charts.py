"""Charts are well-formed SVG that says in words what it draws."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from markupsafe import Markup

from engrain.adapters import Version
from engrain.dashboard.charts import Row, before_after, lineage, percent, span, trend, whole
from engrain.dashboard.figures import DAY_S, Point, Share

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: Markup) -> ElementTree.Element:
    return ElementTree.fromstring(str(svg).replace("<svg ", f'<svg xmlns="{SVG[1:-1]}" ', 1))


def point(day: float, value: float) -> Point:
    return Point(at=day * DAY_S, value=value, low=max(0, value - 0.2), high=min(1, value + 0.2), n=7)


@pytest.mark.parametrize("count", [1, 2, 12])
def test_a_curve_stays_in_its_frame_and_is_described(count: int) -> None:
    points = [point(n, n / count) for n in range(count)]
    root = parsed(trend(points, title="Good", form=percent, top=1.0, name="x"))
    assert root.get("role") == "img" and root.get("aria-labelledby") == "x-title x-desc"
    assert (root.findtext(f"{SVG}title"), root.find(f"{SVG}desc")) != ("", None)
    assert "7 answers" in str(root.findtext(f"{SVG}desc"))
    dots = root.findall(f"{SVG}circle")
    assert len(dots) == count
    _, _, width, height = map(float, str(root.get("viewBox")).split())
    for dot in dots:
        assert 0 <= float(str(dot.get("cx"))) <= width and 0 <= float(str(dot.get("cy"))) <= height


def test_a_curve_of_nothing_is_nothing_and_one_of_zeros_is_drawn() -> None:
    assert trend([], title="t", form=whole, name="x") == ""
    assert parsed(trend([Point(at=0, value=0, low=0, high=0, n=1)] * 2, title="t", form=whole, name="x")) is not None


def test_before_and_after_are_drawn_for_each_update_and_labels_are_escaped() -> None:
    row = Row(
        label='<b>"v1"', href='/v?a=1&b="2"', before=Share(good=0, n=8), after=Share(good=6, n=8), decision="reject"
    )
    drawn = before_after([row, row], title="t", name="x")
    root = parsed(drawn)
    assert "<b>" not in drawn and '<b>"v1"' in {t.text for t in root.iter(f"{SVG}text")}
    assert [a.get("href") for a in root.iter(f"{SVG}a")] == [row.href] * 2
    marks = [(m.tag.removeprefix(SVG), m.get("class")) for m in root.iter() if m.tag in (f"{SVG}circle", f"{SVG}rect")]
    assert marks == [("circle", "hollow"), ("rect", "dot poor")] * 2
    assert "75\u202f% after, of 8" in str(root.findtext(f"{SVG}desc"))
    assert before_after([], title="t", name="x") == ""


def test_the_graph_links_each_version_and_joins_it_to_its_parent() -> None:
    versions = [
        Version(number=0, adapter=""),
        Version(number=1, adapter="a", decision="promote", live=True),
        Version(number=2, adapter="b", parent="a", decision="reject"),
        Version(number=3, adapter="c", parent="erased", decision="hold"),
    ]
    root = parsed(lineage(versions, lambda v: f"/v/{v.number}", name="x"))
    assert [a.get("href") for a in root.iter(f"{SVG}a")] == ["/v/0", "/v/1", "/v/2", "/v/3"]
    assert [a.get("aria-label") for a in root.iter(f"{SVG}a")] == [
        "Version 0, the bare base", "Version 1, live, promoted", "Version 2, rejected", "Version 3, held",
    ]  # fmt: skip
    assert len(list(root.iter(f"{SVG}path"))) == 2  # nothing is known of the parent of the last
    assert root.get("role") == "group"  # its links can be reached


def test_numbers_are_written_as_people_write_them() -> None:
    assert (percent(0.0), percent(0.616), span(0.5, 0.8)) == ("0\u202f%", "62\u202f%", "50–80\u202f%")
    assert (whole(3.0), whole(8.14), whole(22.4), whole(1234.5)) == ("3", "8.1", "22.4", "1,234")
