import dataclasses

import pytest

from overparam.claims import catalogue as catalogue
from overparam.claims import load_study, study_header, study_names


def test_finds_files_and_folders_and_nothing_private(tmp_path, monkeypatch):
    for name in ("b2020_two.py", "_engine.py", "notes.txt"):
        (tmp_path / name).write_text("")
    (tmp_path / "a2019_one").mkdir()
    (tmp_path / "a2019_one" / "__init__.py").write_text("")
    monkeypatch.setattr(catalogue, "_FOLDER", tmp_path)
    assert study_names() == ["a2019_one", "b2020_two"]


def test_headers_agree_with_the_imported_studies():
    assert "liu2020_kernel_constancy" in study_names()
    for name in study_names():
        study = load_study(name)
        assert study.name == name
        assert study.header == study_header(name)


@pytest.mark.parametrize("ask", [load_study, study_header])
def test_an_unknown_study_offers_the_nearest(ask):
    with pytest.raises(ValueError, match="did you mean 'liu2020_kernel_constancy'"):
        ask("liu2020_kernel_constency")


def test_a_file_without_a_study_or_a_section_says_so(tmp_path, monkeypatch):
    (tmp_path / "halfway.py").write_text('"""A title with 1 number.\n\nCost:\n    None.\n"""\n')
    monkeypatch.setattr(catalogue, "_FOLDER", tmp_path)
    with pytest.raises(
        ValueError, match=r"`study 'halfway'` .*none of Reference, Changed, Failure"
    ):
        study_header("halfway")
    monkeypatch.setattr(catalogue.importlib, "import_module", lambda name: object())
    with pytest.raises(TypeError, match=r"`study 'halfway'` .*STUDY = Study"):
        load_study("halfway")


def test_a_headline_without_a_claim_is_no_study(toy):
    headline = "Abstract: the mean is 0.5."
    told = dataclasses.replace(
        toy.claim(), kind="paper", sentence=headline, criterion="theory", name="told"
    )
    dataclasses.replace(toy.STUDY, claims=[toy.claim(), told], headlines=[headline])
    untold = dataclasses.replace(told, kind="ours")
    for claims in ([toy.claim()], [untold]):
        with pytest.raises(ValueError, match=r"Study\(headlines=.*kind 'paper', got \['Abstract"):
            dataclasses.replace(toy.STUDY, claims=claims, headlines=[headline])
