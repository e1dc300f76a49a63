"""Numbers per class: means over seeds, differences from the best control, and what is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from search.analysis import rows
from search.class_table import class_records, class_table, difference, drawn, tailed
from search.exhibits import Exhibits
from search.figures.class_sizes import describe, picture
from search.figures.style import png
from search.results import results
from search.row import Row
from search.tables import record
from search.verdicts import judged
from tests.support.journals import Writer
from tests.support.rows import row, seeds
from tracking.record import Stage


def by_class(*tails: float, sizes: tuple[int, int] = (100, 10)) -> Mapping[str, Mapping[int, float]]:
    """Two classes; the tail's eKLD by seed, the head's a tenth of it, accuracies 0.9 and 0.5."""
    return {
        "size/of_0": seeds(*[float(sizes[0])] * len(tails)), "size/of_1": seeds(*[float(sizes[1])] * len(tails)),
        "ekld/of_0": seeds(*(tail / 10 for tail in tails)), "ekld/of_1": seeds(*tails),
        "ekld/head": seeds(*(tail / 10 for tail in tails)), "ekld/tail": seeds(*tails),
        "ekld/slope": seeds(*[-1.0] * len(tails)), "accuracy/of_0": seeds(*[0.9] * len(tails)),
        "accuracy/of_1": seeds(*[0.5] * len(tails)), "accuracy/tail": seeds(*[0.5] * len(tails)),
        "accuracy/mean": seeds(*[0.7] * len(tails)), "ekld/mean": seeds(*(0.55 * tail for tail in tails)),
        "ekld_scaled/mean": seeds(*(0.4 * tail for tail in tails)),
        "ekld_scaled/tail": seeds(*(0.8 * tail for tail in tails)),
    }


def made() -> list[Row]:
    found = judged([row("plain", seeds(0.7, 0.71, 0.69), control=True), row("git", seeds(0.8, 0.82, 0.81))])
    return [
        replace(one, classes=by_class(*tails))
        for one, tails in zip(found, ((0.4, 0.5, 0.6), (0.3, 0.4, 0.5)), strict=True)
    ]


def test_a_line_for_each_row_and_class() -> None:
    lines = class_records(made())
    assert [(line["method"], line["class"], line["size"]) for line in lines] == [
        ("plain", 0, 100.0), ("plain", 1, 10.0), ("git", 0, 100.0), ("git", 1, 10.0),
    ]
    assert lines[3]["ekld_mean"] == pytest.approx(0.4) and lines[3]["accuracy_mean"] == 0.5
    # t_{0.975, 2} = 4.303, s = 0.1, n = 3
    assert lines[3]["ekld_high95"] == pytest.approx(0.4 + 4.303 * 0.1 / 3**0.5, abs=1e-3)


def test_a_line_names_its_class_where_the_journal_does() -> None:
    named = [replace(one, class_names=("cat", "dog")) for one in made()]
    assert [line["name"] for line in class_records(named)] == ["cat", "dog", "cat", "dog"]
    assert [line["name"] for line in class_records(made())] == [None] * 4, "an older one"


def test_differences_are_paired_by_seed() -> None:
    """All seeds differ by the same .1, though each row spreads by .2."""
    plain, git = made()
    found = difference(git, plain, "ekld/tail")
    assert found is not None and found.mean == pytest.approx(-0.1)
    assert found.high is not None and found.low is not None and found.high - found.low < 1e-9
    assert difference(plain, plain, "ekld/tail") is None
    fewer = replace(git, classes={"ekld/tail": {3: 0.5}})
    assert difference(fewer, plain, "ekld/tail") is None
    more = replace(git, classes={"ekld/tail": {**git.classes["ekld/tail"], 4: 9.0}})
    assert difference(more, plain, "ekld/tail") == found, "a seed that only one of them has does not count"


def test_the_table_says_head_tail_slope_and_the_difference_from_the_best_control() -> None:
    table = class_table(made())
    line = dict(zip(table.heads, table.lines[1], strict=True))
    assert line["method"] == "git"
    assert line["tail accuracy [95 %]"] == "50.0 [50.0, 50.0] %"
    assert line["tail eKLD at fitted temperature [95 %]"].startswith("0.32 ["), "a fifth less of 0.4"
    assert line["slope of log eKLD on log n [95 %]"] == "-1 [-1, -1]"
    assert line["tail eKLD minus plain [95 %]"].startswith("-0.1 [")
    assert line["tail accuracy minus plain [95 %]"] == "+0.0 [+0.0, +0.0] points"
    assert table.lines[0][-1] == "-"


def test_classes_of_one_size_have_no_head_no_tail_and_no_slope() -> None:
    """Sizes of which the largest is less than twice the smallest are one size."""
    even = [replace(one, classes=by_class(0.3, 0.4, 0.5, sizes=(50, 60))) for one in made()]
    assert class_table(even).heads == [
        "method", "accuracy, mean over classes [95 %]", "eKLD, mean over classes [95 %]",
        "this mean at fitted temperature [95 %]", "accuracy, mean over classes minus plain [95 %]",
        "eKLD, mean over classes minus plain [95 %]",
    ]
    assert class_table(even).lines[1][1] == "70.0 [70.0, 70.0] %"
    assert any("tail" in head for head in class_table(made()).heads), "the control"


def test_balanced_classes_are_drawn_by_label() -> None:
    even = [replace(one, classes=by_class(0.3, 0.4, 0.5, sizes=(50, 50))) for one in made()]
    assert not tailed(even) and tailed(made())
    assert picture(even, "one").axes[0].get_xlabel() == "class"
    figure = picture(made(), "one")
    assert figure.axes[0].get_xlabel() == "training examples of the class"
    points = figure.axes[0].lines[0].get_xydata()
    assert [tuple(point) for point in points] == [(10.0, 0.5), (100.0, pytest.approx(0.05))]
    assert [(panel.get_xscale(), panel.get_yscale()) for panel in figure.axes] == [("log", "log"), ("log", "linear")]
    assert [panel.get_xscale() for panel in picture(even, "one").axes] == ["linear", "linear"]
    assert png(figure).startswith(b"\x89PNG")
    assert "slope of log eKLD on log class size: plain -1, git -1" in describe(made())


def test_rows_without_classes_have_no_exhibit() -> None:
    assert drawn([row("plain", seeds(0.7))]) == []


def test_metrics_of_a_journal_become_the_exhibit_the_record_and_the_result() -> None:
    writer = Writer()
    writer.begin(["p"], ["plain"], 2, {})
    for index in (1, 2):
        extra = {f"classes/{name}": values[1] for name, values in by_class(0.4 * index).items()}
        writer.trial("p", "plain", Stage.RERUN, index, 10, extra={"test/score": 0.8, **extra})
    assert rows(writer.events)[0].class_names == (), "an older journal"
    writer.events[0]["classes"] = {"p": ["cat", "dog"], "other": ["x", "y"]}
    found = rows(writer.events)
    assert found[0].class_names == ("cat", "dog")
    assert found[0].classes["ekld/tail"] == {1: 0.4, 2: 0.8}
    names = {exhibit.name: exhibit for exhibit in Exhibits(found, writer.events).of("p")}
    assert len(names["classes-p"].records) == 2
    assert "nearly the same to every image" in names["classes-p"].caption
    assert "Head and tail" in names["classes-p"].caption
    assert record(found[0])["classes ekld/tail"] == pytest.approx(0.6)
    assert "classes ekld/of_1" not in record(found[0])
    assert next(iter(results(found)))["metrics"]["classes/ekld/tail"] == pytest.approx(0.6)


def test_classes_of_one_size_are_joined_by_their_mean_alone() -> None:
    """Two classes of ten examples, of .1 and .4: on the logarithmic axis their middle is .2; of .2 and .6 it is .4."""
    values = {
        "size": (100.0, 10.0, 10.0), "ekld": (0.05, 0.4, 0.1), "accuracy": (0.9, 0.2, 0.6),
    }
    classes = {f"{name}/of_{k}": seeds(value, value) for name, of in values.items() for k, value in enumerate(of)}
    figure = picture([replace(made()[0], classes=classes | {"ekld/slope": seeds(-1.0, -1.0)})], "one")
    for panel, each, means in (
        (figure.axes[0], [(100, 0.05), (10, 0.4), (10, 0.1)], [(10, 0.2), (100, 0.05)]),
        (figure.axes[1], [(100, 90), (10, 20), (10, 60)], [(10, 40), (100, 90)]),
    ):
        marks, line = panel.lines
        assert (marks.get_linestyle(), line.get_linestyle(), line.get_label()) == ("None", "-", "plain")
        for drawn_line, expected in ((marks, each), (line, means)):
            assert [tuple(point) for point in drawn_line.get_xydata()] == [pytest.approx(point) for point in expected]
    assert "means of classes of one size" in figure.axes[0].get_xlabel()


def test_class_sizes_are_written_as_numbers_that_do_not_touch() -> None:
    figure = picture([replace(one, classes=by_class(0.4, 0.5, sizes=(30, 3))) for one in made()], "one")
    figure.draw_without_rendering()
    for panel in figure.axes:
        low, high = panel.get_xlim()
        ticks = [text for text in panel.get_xticklabels(which="both") if low <= text.get_position()[0] <= high]
        assert [text.get_text() for text in ticks if text.get_text()] == ["5", "10", "20"]
