"""How columns become the matrix that a model sees."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.errors import BundleError
from fairlead.packaging.signature import UNKNOWN_CATEGORY, Input, Signature

SIGNATURE = Signature(
    inputs=[
        Input(name="carrier", source="request", kind="category", categories=["AA", "DL", "UA"]),
        Input(name="distance", source="request", kind="number"),
        Input(name="weather__wind_mph", source="feature", kind="number"),
    ],
    entities=["origin", "carrier"],
)


def columns(**changed: Any) -> dict[str, Any]:
    return {"carrier": ["UA", "AA"], "distance": [500, 2475], "weather__wind_mph": [8.5, 0.0]} | changed


def refusal(**changed: Any) -> str:
    with pytest.raises(BundleError) as caught:
        SIGNATURE.matrix(columns(**changed))
    return str(caught.value)


def test_columns_stand_in_the_order_of_the_signature_as_float32():
    matrix = SIGNATURE.matrix(dict(reversed(columns().items())))
    assert matrix.dtype == np.float32
    assert matrix.tolist() == [[2, 500, 8.5], [0, 2475, 0]]


def test_columns_that_the_signature_does_not_name_are_left_out():
    assert SIGNATURE.matrix(columns(tailnum=["N1"])).tolist() == SIGNATURE.matrix(columns()).tolist()


def test_a_missing_number_is_nan():
    matrix = SIGNATURE.matrix(columns(distance=[None, float("nan")], weather__wind_mph=np.array([np.nan, 1.0])))
    assert np.isnan(matrix).tolist() == [[False, True, True], [False, True, False]]


def test_a_missing_number_is_its_default_where_the_input_has_one():
    given = [item.model_copy(update={"default": 3.5}) if item.kind == "number" else item for item in SIGNATURE.inputs]
    signature = SIGNATURE.model_copy(update={"inputs": given})
    sent = np.array([np.nan, 1.0], dtype=np.float32)
    matrix = signature.matrix(columns(distance=[None, 500], weather__wind_mph=sent))
    assert matrix[:, 1:].tolist() == [[3.5, 3.5], [500, 1.0]]
    assert np.isnan(sent[0]), "what was given stays as it is"


@pytest.mark.parametrize("value", ["XX", None, float("nan"), "", "ua", 2])
def test_an_unknown_or_missing_category_is_minus_one(value: Any):
    assert SIGNATURE.matrix(columns(carrier=[value, "DL"]))[:, 0].tolist() == [UNKNOWN_CATEGORY, 1.0]


def test_a_truth_value_is_one_or_zero():
    assert SIGNATURE.matrix(columns(distance=[True, False]))[:, 1].tolist() == [1, 0]
    assert SIGNATURE.matrix(columns(distance=np.array([True, False])))[:, 1].tolist() == [1, 0]


def test_no_rows_make_an_empty_matrix_of_the_same_width():
    assert SIGNATURE.matrix({name: [] for name in SIGNATURE.names}).shape == (0, 3)


def test_a_missing_column_is_named_with_those_required():
    given = columns()
    del given["distance"]
    with pytest.raises(BundleError, match=r"'distance' is required, but missing; .* carrier, distance, weather__wind"):
        SIGNATURE.matrix(given)


def test_columns_of_different_lengths_are_refused():
    assert refusal(distance=[1.0]) == "column 'distance' must have 2 values like the others, but has 1"


@pytest.mark.parametrize("wrong", ["far", "12", "nan", [1.0], {"miles": 1}])
def test_something_that_is_no_number_is_named_where_a_number_is_due(wrong: Any):
    assert refusal(distance=[500, wrong]) == f"column 'distance' must hold numbers, but holds {wrong!r}"


@pytest.mark.parametrize("kind", [object, np.str_])
def test_text_in_an_array_is_no_number_either(kind: Any):
    assert "must hold numbers, but holds" in refusal(distance=np.array(["500", "2475"], dtype=kind))


def test_every_value_a_list_of_its_own_is_no_column():
    assert refusal(distance=[[500], [2475]]) == "column 'distance' must hold numbers, but holds [500]"


def test_a_number_beyond_every_float_is_refused():
    assert "must hold numbers, but holds one beyond every float" in refusal(distance=[10**400, 1])


def test_a_caller_sends_its_inputs_and_then_the_keys_that_are_not_among_them():
    assert SIGNATURE.request_columns == ["carrier", "distance", "origin"]


numbers = st.none() | st.integers(-(2**31), 2**31) | st.floats(width=32)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["AA", "UA", "XX", None]), numbers, numbers), max_size=6))
def test_lists_and_arrays_of_the_same_values_make_the_same_matrix(rows: list[tuple[Any, Any, Any]]):
    lists = {name: [row[index] for row in rows] for index, name in enumerate(SIGNATURE.names)}
    objects = {name: np.array(values, dtype=object) for name, values in lists.items()}
    floats = {
        name: np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        for name, values in lists.items()
        if name != "carrier"
    }
    matrices = [SIGNATURE.matrix(given) for given in (lists, objects, objects | floats)]
    np.testing.assert_array_equal(matrices[0], matrices[1])
    np.testing.assert_array_equal(matrices[0], matrices[2])
