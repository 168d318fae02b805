"""The tables of findings: what they say of claims by hand, and which are older than their code."""

import pandas as pd
import pytest

from benchmarks import claims, findings


def test_pages_are_those_of_the_tables():
    assert (findings.HOME / "findings.md").read_text(encoding="utf-8") == findings.page()
    seen = (findings.HOME / "claims.md").read_text(encoding="utf-8")
    assert seen == claims.page(findings.kept_of)


def test_no_finding_is_older_than_the_code_that_measures_it():
    old = ", ".join(findings.stale())
    assert not old, f"measured by other code: {old}. Delete them and run `make findings`"


def test_a_finding_measured_by_other_code_is_named(tmp_path, monkeypatch):
    folder = tmp_path / "findings"
    folder.mkdir()
    monkeypatch.setattr(findings, "HOME", tmp_path)
    for file in ("masks-vgg.csv", "oracle-vgg.csv", "oracle-densenet.csv"):
        (folder / file).write_text("")
    claims.note(folder, "masks-vgg.csv", findings.masks)
    claims.note(folder, "oracle-vgg.csv", findings.masks)
    assert findings.stale() == ["oracle-densenet.csv", "oracle-vgg.csv"]


def test_words_and_layout_are_no_part_of_a_fingerprint():
    def measure(x):
        """Say one thing."""
        return x + 1  # in one way

    first = claims.fingerprint(measure)

    def measure(x):
        return x + 1

    assert claims.fingerprint(measure) == first

    def measure(x):
        return x + 2

    assert claims.fingerprint(measure) != first


def of_two(*rows):
    return {name: pd.DataFrame(rows) for name in ("one", "other")}


@pytest.mark.parametrize(
    ("rank", "verdict"), [((0.95, 0.95), "holds"), ((0.95, 0.9), "does not hold: in 1 of 2 only")]
)
def test_a_claim_holds_only_if_it_does_in_every_network(rank, verdict):
    frames = {
        name: pd.DataFrame(
            [{"criterion": "taylor", "by batch": one}, {"criterion": "random", "by batch": -0.1}]
        )
        for name, one in zip(("a", "b"), rank, strict=True)
    }
    found = claims._oracle(frames)
    assert found.verdict == verdict
    assert found.number.startswith(f"Spearman {min(rank):.2f} to 0.95")
    assert "0.10" in found.control


def test_a_difference_within_noise_is_not_one_at_this_size():
    def frames(gain):
        return of_two(
            {"method": "temperature", "ece": 0.015, "floor": 0.01},
            {"method": "binwise", "ece": 0.015 - gain, "floor": 0.01},
        )

    assert claims._binwise("binwise")(frames(0.005)).verdict.startswith(claims.SMALL)
    assert claims._binwise("binwise")(frames(-0.005)).verdict == claims.FAILS
    assert claims._binwise("binwise")(frames(0.03)).verdict == claims.HOLDS


def test_what_was_not_measured_is_said():
    page = claims.page(lambda table: {})
    assert page.count("not measured yet") == len(claims.CLAIMS)
