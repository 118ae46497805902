"""The reader of the online store that an environment's feature_store.yaml names."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairlead.adapters.feature_store_yaml import read_feature_store
from fairlead.adapters.online_cache import CachedRows, OnRead
from fairlead.adapters.online_rows import KeyGroup, RowsReader, RowStore, group_views
from fairlead.errors import FeatureError
from fairlead.features.lookup import LookupPlan
from fairlead.packaging.signature import Input
from fairlead.settings import Settings

STORES = ("sqlite", "redis")


def open_reader(
    settings: Settings,
    plan: LookupPlan,
    inputs: Sequence[Input],
    cache_seconds: float = 0,
    on_cache_read: OnRead = lambda at_hand, fetched: None,
) -> RowsReader:
    """A reader of a model's looked-up inputs; nothing is connected before the first read.

    Args:
        settings: name the feature_store.yaml.
        plan: of the model's feature service.
        inputs: the looked-up inputs, in the order of the columns to be read.
        cache_seconds: how long a row may be reused; 0: never.
        on_cache_read: told of each read through that cache.

    Raises:
        FeatureError: the file does not fit the plan, or names a store that cannot be read; or an input has no view.
    """
    config, where = read_feature_store(settings), settings.feature_store
    if config.get("project") != plan.project:
        raise FeatureError(
            f"{where}: project must be {plan.project!r} as in the bundle, but is {config.get('project')!r}"
        )
    groups = group_views(plan, inputs)
    store = _open(config.get("online_store"), groups, plan.project, where)
    return RowsReader(groups, CachedRows(store, groups, cache_seconds, on_cache_read) if cache_seconds else store)


def _open(online: Any, groups: Sequence[KeyGroup], project: str, where: Path) -> RowStore:
    kind = online.get("type") if isinstance(online, dict) else online
    if kind not in STORES or not isinstance(online, dict):
        raise FeatureError(f"{where}: online_store.type must be {' or '.join(STORES)}, but is {kind!r}")
    if kind == "sqlite":
        from fairlead.adapters.online_sqlite import SqliteRows

        return SqliteRows(groups, project, where.parent / str(online.get("path", "data/online.db")))
    from fairlead.adapters.online_redis import RedisRows

    return RedisRows(groups, project, _redis_options(online, where))


def _redis_options(online: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """The options of redis-py in Feast's `connection_string`: `host:port,option=value,…`, values as JSON or text.

    Raises:
        FeatureError: it is not of that form, or the store is a cluster or has sentinels.
    """
    if online.get("redis_type", "redis") != "redis":
        raise FeatureError(
            f"{where}: online_store.redis_type must be redis, but is {online['redis_type']!r}: a look-up is one round "
            "trip to one server, so clusters and sentinels are not read"
        )
    text = str(online.get("connection_string", "localhost:6379"))
    address, *options = text.split(",")
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not all("=" in option for option in options):
        # Without what follows the address: it may hold a password.
        raise FeatureError(
            f"{where}: online_store.connection_string must be host:port,option=value,… but begins with {address!r}"
        )
    pairs = (option.split("=", 1) for option in options)
    return {"host": host, "port": int(port), **{name: _plain(content) for name, content in pairs}}


def _plain(content: str) -> Any:
    try:
        return json.loads(content)
    except json.JSONDecodeError:
        return content
