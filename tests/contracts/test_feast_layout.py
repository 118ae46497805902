"""Our writing and reading of Feast's online layout is Feast's own."""

import struct
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3, _redis_key
from feast.infra.online_stores.sqlite import _quote_id, _table_id
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Int64List, Null, Value
from feast.type_map import feast_value_type_to_python_type
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from fairlead.adapters.feast_layout import KeyEncoder, doubles, field, table, timestamp, value
from fairlead.errors import FeatureError
from fairlead.features.lookup import JoinKey

FIELDS = {"STRING": "string_val", "INT32": "int32_val", "INT64": "int64_val"}
KEY_VALUES = {
    "STRING": st.text(),
    "INT32": st.integers(-(2**31), 2**31 - 1),
    "INT64": st.integers(-(2**63), 2**63 - 1),
}
KEYS = st.lists(
    st.sampled_from(list(FIELDS)).flatmap(lambda kind: st.tuples(st.text(min_size=1), st.just(kind), KEY_VALUES[kind])),
    min_size=1,
    max_size=4,
    unique_by=lambda key: key[0],
)
VALUES = st.one_of(
    st.builds(lambda number: Value(double_val=number), st.floats()),
    st.builds(lambda number: Value(float_val=number), st.floats(width=32)),
    st.builds(lambda number: Value(int32_val=number), KEY_VALUES["INT32"]),
    st.builds(lambda number: Value(int64_val=number), KEY_VALUES["INT64"]),
    st.builds(lambda truth: Value(bool_val=truth), st.booleans()),
    st.builds(lambda text: Value(string_val=text), st.text(max_size=300)),
    st.just(Value()),
)


@given(keys=KEYS, project=st.text())
def test_an_entity_key_is_written_as_feast_writes_it(keys: list[tuple[str, Any, Any]], project: str) -> None:
    protos = [Value(**{FIELDS[kind]: content}) for _, kind, content in keys]
    theirs = EntityKey(join_keys=[name for name, _, _ in keys], entity_values=protos)
    encoder = KeyEncoder([JoinKey(name=name, kind=kind) for name, kind, _ in keys])
    [ours] = encoder.encode({name: [content] for name, _, content in keys}, 1)
    assert ours == serialize_entity_key(theirs, entity_key_serialization_version=3)
    assert ours is not None
    assert ours + project.encode() == _redis_key(project, theirs, entity_key_serialization_version=3)


def test_a_view_without_entities_has_feasts_own_key_for_all_rows() -> None:
    theirs = serialize_entity_key(EntityKey(join_keys=["__dummy_id"], entity_values=[Value(string_val="")]))
    assert KeyEncoder([]).encode({}, 2) == [theirs, theirs]


@given(view=st.text(), feature=st.text())
def test_a_field_of_a_hash_is_named_as_feast_names_it(view: str, feature: str) -> None:
    assert field(view, feature) == _mmh3(f"{view}:{feature}")


@given(project=st.text(), view=st.text())
def test_a_table_is_named_as_feast_names_it(project: str, view: str) -> None:
    class View:
        name = view

    assert table(project, view) == _quote_id(_table_id(project, View))


@given(VALUES)
def test_a_value_is_read_as_feast_reads_it(proto: Value) -> None:
    ours, theirs = value(proto.SerializeToString()), feast_value_type_to_python_type(proto)
    assert type(ours) is type(theirs)
    assert ours == theirs or (ours != ours and theirs != theirs)


@given(st.lists(st.none() | VALUES.map(lambda proto: proto.SerializeToString()), max_size=8))
def test_many_doubles_are_read_at_once_or_not_at_all(contents: list[bytes | None]) -> None:
    found = doubles(contents)
    plain = [value(content) if content else None for content in contents]
    only = all(not content or content[0] == 0x29 for content in contents)
    assert (found is not None) == only
    if found is not None:
        with np.errstate(over="ignore"):
            expected = np.array([np.nan if item is None else item for item in plain]).astype(np.float32)
        np.testing.assert_array_equal(found, expected)


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)))
def test_a_time_is_read_to_the_microsecond(moment: datetime) -> None:
    proto = Timestamp()
    proto.FromDatetime(moment.replace(tzinfo=UTC))
    assert timestamp(proto.SerializeToString()) == proto.ToMicroseconds()


def test_a_null_is_nothing() -> None:
    assert value(Value(null_val=Null.NULL).SerializeToString()) is None  # Feast's own conversion would say 0


@pytest.mark.parametrize("proto", [Value(int64_list_val=Int64List(val=[1])), Value(unix_timestamp_val=5)])
def test_a_value_that_no_input_can_take_is_refused(proto: Value) -> None:
    with pytest.raises(FeatureError, match="must be a number, a truth value or text"):
        value(proto.SerializeToString())


def test_a_value_that_looks_like_a_double_for_a_while_is_none() -> None:
    assert doubles([b"\x29" + struct.pack("<d", 1.0), b"\x12\x07" + b"\x29" * 7]) is None
