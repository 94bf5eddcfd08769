# SPDX-License-Identifier: Apache-2.0
"""What `make bench` makes of its times: the authors' ratio, growth with tokens, comparisons."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from engine.authors import FACTORS, authors_ratios, described, floor_ratios
from engine.between import time_between
from engine.comparison import UnreadableResultError, compare, read_result
from engine.growth import described as growth_described
from engine.growth import fit_growth
from engine.report import as_json, write_json
from engine.timing import Times, in_turns


def whole(scale: float = 1.0, best: float = 400.0) -> dict[str, dict[str, Times]]:
    milliseconds = {
        "448x448": {"fp32": 1000.0, "best": best, "blocks fp32": 960.0, "blocks best": 350.0},
        "720x1280": {"fp32": 9000.0, "best": 4000.0, "blocks fp32": 9100.0, "blocks best": 3000.0},
    }
    return {
        size: {name: Times((scale * ms,) * 3) for name, ms in times.items()}
        for size, times in milliseconds.items()
    }


def test_the_authors_ratio_follows_from_the_bare_blocks() -> None:
    ratios = authors_ratios(whole())
    assert list(ratios) == ["448x448"], "no factor is known for the other"
    assert ratios["448x448"] == pytest.approx({"fp32": 1.0, "best": 0.4, "blocks best": 0.35})
    assert authors_ratios(whole(scale=3.0))["448x448"] == pytest.approx(ratios["448x448"])
    assert all(0.5 < factor < 2 for factor in FACTORS.values())


def test_the_floor_is_that_of_the_same_precision() -> None:
    assert floor_ratios(whole()) == pytest.approx({"448x448": 400 / 350, "720x1280": 4 / 3})
    first, second = described(whole()).splitlines()
    assert "best 0.40" in first and "1.14" in first
    assert "no factor is known" in second and "1.33" in second


@pytest.mark.parametrize(
    ("linear", "quadratic"), [(0.4, 1e-4), (0.4, 0.0), (0.0, 1e-4), (0.001, 3e-4)]
)
def test_growth_is_found_again(linear: float, quadratic: float) -> None:
    times = {t: linear * t + quadratic * t**2 for t in (785, 1201, 3601)}
    growth = fit_growth(times)
    assert (growth.linear, growth.quadratic) == pytest.approx((linear, quadratic), abs=1e-9)
    assert growth.error < 1e-6
    assert growth.share(3601) == pytest.approx(quadratic * 3601**2 / times[3601], abs=1e-6)


def test_no_term_of_growth_is_negative() -> None:
    slower = fit_growth({100: 100.0, 200: 180.0, 400: 300.0})
    assert slower.quadratic == 0.0 and slower.linear > 0
    steeper = fit_growth({100: 1.0, 200: 9.0, 400: 70.0})
    assert steeper.linear == 0.0 and steeper.quadratic > 0 and steeper.error > 0.1
    assert fit_growth({100: 1.0}) is None and fit_growth({}) is None
    assert "at 400" in growth_described("best", slower, [400])


def result(**changes: float) -> dict[str, object]:
    machine = {"processor": "one", "threads": 2}
    section = {"one": {"pooling": Times((10.0, 10.2)), "resize": Times((5.0, 5.1))}}
    return as_json(machine, {"whole frame": whole(**changes), "stages, 448x448": section}, {})


def test_a_slower_machine_is_told_from_slower_code() -> None:
    lines = compare(result(), result(scale=2.0)).splitlines()
    (best,) = [line for line in lines if "448x448, best" in line]
    assert best.split()[-4:] == ["400.0", "800.0", "2.00", "1.00"]
    lines = compare(result(), result(best=800.0)).splitlines()
    (best,) = [line for line in lines if "448x448, best" in line]
    assert best.split()[-2:] == ["2.00", "2.00"]


def test_what_changed_is_told_and_what_did_not_is_not() -> None:
    new = copy.deepcopy(result())
    new["stages, 448x448"]["one"]["pooling"] = {"median_ms": 7.0, "p95_ms": 7.1}
    new["machine"]["processor"] = "two"
    text = compare(result(), new)
    assert "another processor: one before, two now" in text and "threads" not in text
    assert "one, pooling" in text and "resize" not in text
    noisy = copy.deepcopy(result())
    noisy["stages, 448x448"]["one"]["pooling"] = {"median_ms": 12.0, "p95_ms": 30.0}
    before = copy.deepcopy(result())
    before["stages, 448x448"]["one"]["pooling"] = {"median_ms": 10.0, "p95_ms": 25.0}
    assert "pooling" not in compare(before, noisy), "within the noise"


def test_results_of_other_versions_are_compared_as_far_as_they_go() -> None:
    old = {"machine": {}, "whole frame": {"448x448": {"best": {"median_ms": 1.0}, "fp32": None}}}
    assert "448x448" not in compare(old, result())
    assert "448x448" not in compare({"machine": {}, "whole frame": 3}, result())


@pytest.mark.parametrize("content", [None, "", "[]", "{", '{"machine": 3}', "[" * 9000])
def test_what_is_no_result_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "old.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UnreadableResultError, match=r"old\.json"):
        read_result(path)
    write_json(path, result())
    assert read_result(path) == json.loads(json.dumps(result()))


def test_a_section_ends_with_its_time() -> None:
    calls = []
    times = in_turns({"a": lambda: calls.append(1)}, rounds=50, seconds=0.0)
    assert len(times["a"].samples) == 2, "so many at least"
    assert len(in_turns({"a": lambda: None}, rounds=5)["a"].samples) == 5


def test_pictures_between_inferences_are_timed() -> None:
    torch.set_num_threads(1)
    times = time_between((96, 128), 5, rounds=25, seconds=5.0)["a picture"]
    assert list(times) == ["propagate", "smooth"]
    assert all(t.median > 0 for t in times.values())
