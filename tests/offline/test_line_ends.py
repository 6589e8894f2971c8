"""Windows line ends in ids and values are data: every store gives them back byte for byte."""

from __future__ import annotations

from featurestore.offline.contract import OfflineStore
from tests.offline.history import learn, version

TEXTS = ["a\r\nb", "a\nb", "a\r", "\r\n", "a\r\n", "a"]


def test_line_ends_of_ids_and_values_survive(store: OfflineStore) -> None:
    of = version("string")
    learn(store, of, [(text, 0, text) for text in TEXTS], "r1")
    found = store.current(of).select("patient_id", "value").rows()
    assert sorted(found) == sorted((text, text) for text in TEXTS)
    again = learn(store, of, [(text, 0, text) for text in TEXTS], "r2")
    assert (again.new, again.corrected, again.unchanged) == (0, 0, len(TEXTS))
