import json

import pytest

from overparam.report.documents import read_documents


def test_a_file_reads_as_its_document(tmp_path, diagnosis):
    file = tmp_path / "diagnosis.json"
    file.write_text(json.dumps(diagnosis), encoding="utf-8")
    assert read_documents(file) == [diagnosis]


def test_a_file_may_hold_several_documents(tmp_path, diagnosis, study):
    file = tmp_path / "both.json"
    file.write_text(json.dumps([diagnosis, study]))
    assert [document["kind"] for document in read_documents(file)] == ["diagnosis", "study"]


def test_numbers_that_are_not_finite_were_not_measured(tmp_path):
    file = tmp_path / "nan.json"
    series = '{"loss": {"step": [0, 1, 2], "value": [NaN, Infinity, 1.0]}}'
    file.write_text(f'{{"kind": "diagnosis", "series": {series}}}')
    assert read_documents(file)[0]["series"]["loss"]["value"] == [None, None, 1.0]


@pytest.mark.parametrize(
    ("content", "kind"),
    [({"study": "a2020_b", "claims": []}, "study"), ({"advice": {}}, "diagnosis")],
    ids=["study", "diagnosis"],
)
def test_a_document_without_a_kind_is_known_by_its_keys(content, kind):
    assert read_documents(content)[0]["kind"] == kind


BROKEN = {
    "missing file": (None, "FileNotFoundError"),
    "not JSON": (b"{", "not JSON"),
    "binary": (b"\x89PNG\r\n\xff\xfe", "not JSON"),
    "empty": (b"", "not JSON"),
    "nested without end": (b"[" * 200_000, "not JSON"),
    "empty list": (b"[]", "an empty list"),
    "a number": (b"3", "a JSON object"),
    "another kind": (
        b'{"kind": "recipe"}',
        "diagnosis, electrode, federated, fit, rate, run, study, got 'recipe'",
    ),
    "no kind": (b"{}", "got 'missing'"),
    "statements no list": (b'{"kind": "diagnosis", "statements": {}}', "under 'statements'"),
    "statement no object": (b'{"kind": "diagnosis", "statements": ["x"]}', "under 'statements'"),
    "series no object": (b'{"kind": "study", "series": {"a": 3}}', "series 'a'"),
    "uneven series": (
        b'{"kind": "diagnosis", "series": {"loss": {"step": [1, 2], "value": [1]}}}',
        "as many values as steps in the series 'loss'",
    ),
    "a word among eigenvalues": (
        b'{"kind": "diagnosis", "series": {"spectrum": {"eigenvalues": [1, "a"]}}}',
        "numbers in the series 'spectrum', got 'a'",
    ),
    "words in a series": (
        b'{"kind": "diagnosis", "series": {"loss": {"step": [1], "value": ["high"]}}}',
        "numbers in the series 'loss', got 'high'",
    ),
}


@pytest.mark.parametrize(("content", "complaint"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_result_is_one_clear_error(tmp_path, content, complaint):
    file = tmp_path / "broken.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=r"write_report\('.*broken\.json', \.\.\.\)") as error:
        read_documents(file)
    assert complaint in str(error.value)
