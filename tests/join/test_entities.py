"""Entity ids as typed: byte-exact, in any order, and read back from their own text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featurestore.errors import UsageError
from featurestore.model import EntityType
from featurestore.point_in_time.entities import entity_json, format_entity, parse_entity
from tests.join.cases import ACCOUNT, PATIENT, SHELF


@pytest.mark.parametrize("text", ["42", "007", " 7", "", "a,b", "patient_id=42", "{not json", '{"other": 1}'])
def test_the_id_of_a_single_string_key_is_its_text(text: str) -> None:
    assert parse_entity(PATIENT, text) == {"patient_id": text}


def test_an_int_key_is_digits() -> None:
    assert parse_entity(ACCOUNT, "-7") == {"account": -7}
    assert parse_entity(ACCOUNT, '{"account": 7}') == parse_entity(ACCOUNT, '{"account": "7"}') == {"account": 7}


@pytest.mark.parametrize(
    "text", ["seven", "07", "+7", "-0", "7.0", "", " 7", "1e3", "9223372036854775808", "٣", '{"account": true}']
)
def test_text_that_is_not_an_int_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="must have an int for account"):
        parse_entity(ACCOUNT, text)


@pytest.mark.parametrize(
    "text",
    ["shop=7,product=tea", "product=tea,shop=7", '{"shop": 7, "product": "tea"}', ' {"product":"tea","shop":"7"}'],
)
def test_a_composite_id_may_come_in_any_order_or_as_json(text: str) -> None:
    found = parse_entity(SHELF, text)
    assert list(found.items()) == [("shop", 7), ("product", "tea")]


def test_a_value_may_contain_commas_and_equal_signs() -> None:
    assert parse_entity(SHELF, "shop=7,product=a,b=c")["product"] == "a,b=c"


@pytest.mark.parametrize(("text", "said"), [
    ("shop=7", "lacks product"),
    ("7", "is not an id"),
    ("shop=7,shop=8,product=x", "names shop twice"),
    ("stop=7,product=x", "shelf has no key 'stop'"),
    ('{"shop": 7, "produce": "x"}', "shelf has no key 'produce'"),
    ('{"shop": 7', "is not JSON"),
    ('{"shop": 7, "product": 7}', "must have text for product"),
])  # fmt: skip
def test_a_wrong_composite_id_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(UsageError) as failed:
        parse_entity(SHELF, text)
    assert said in failed.value.message
    assert failed.value.hint


ids = st.one_of(
    st.tuples(st.just(PATIENT), st.fixed_dictionaries({"patient_id": st.text()})),
    st.tuples(st.just(ACCOUNT), st.fixed_dictionaries({"account": st.integers(-(2**63), 2**63 - 1)})),
    st.tuples(
        st.just(SHELF),
        st.fixed_dictionaries({
            "shop": st.integers(-(2**63), 2**63 - 1),
            "product": st.text() | st.sampled_from(("x,shop=1", ",product=", '{"shop": 1}')),
        }),
    ),
)  # fmt: skip


@given(ids)
def test_every_id_is_read_back_from_its_text(drawn: tuple[EntityType, dict[str, str | int]]) -> None:
    entity_type, entity = drawn
    assert parse_entity(entity_type, format_entity(entity_type, entity)) == entity


def test_json_has_text_and_an_object_for_composites() -> None:
    assert entity_json(ACCOUNT, {"account": 7}) == "7"
    assert entity_json(SHELF, {"shop": 7, "product": "tea"}) == {"shop": "7", "product": "tea"}
