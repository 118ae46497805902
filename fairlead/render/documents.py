"""Kubernetes objects as YAML that kubectl and Argo CD read back as they are."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

RENDERED = "# Rendered by `fairlead render`; changes belong into what it is made from.\n"

_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./:@=+ -]*")
_OTHER_THAN_TEXT = {
    "y",
    "n",
    "yes",
    "no",
    "on",
    "off",
    "true",
    "false",
    "null",
    "nan",
    "inf",
    "infinity",
    ".nan",
    ".inf",
}


def to_yaml(document: Mapping[str, Any]) -> str:
    """One object, with keys in their order and texts of several lines as blocks.

    Kubernetes reads YAML 1.1, to which a plain `n` is a boolean and `1e3` a number: what could be anything but text is
    quoted.
    """
    return RENDERED + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None
    if "\n" in value:
        style = "|"
    elif not _PLAIN.fullmatch(value) or value.lower() in _OTHER_THAN_TEXT:
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
