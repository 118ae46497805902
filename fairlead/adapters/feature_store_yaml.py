"""The environment's feature_store.yaml, with its variables filled in."""

import string
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from fairlead.errors import FeatureError
from fairlead.settings import Settings


def read_feature_store(settings: Settings) -> dict[str, Any]:
    """What the file says.

    Raises:
        FeatureError: it cannot be read, is no mapping, or names a variable that the settings do not have.
    """
    path = settings.feature_store
    try:
        config = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise FeatureError(f"{path}: must hold a mapping, but holds {config!r}")
        # In what was parsed, not before: a password may hold what means something in YAML, and no error shows it.
        filled: dict[str, Any] = _fill(config, settings.environ() | settings.secrets())
    except OSError as error:
        raise FeatureError(f"{path}: cannot be read: {error.strerror}") from None
    except KeyError as error:
        raise FeatureError(f"{path}: {_unknown(str(error.args[0]), settings)}") from None
    except (YAMLError, ValueError) as error:
        raise FeatureError(f"{path}: must be YAML with ${{variables}}, but: {error}") from None
    return filled


def _fill(item: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(item, dict):
        return {key: _fill(value, variables) for key, value in item.items()}
    if isinstance(item, list):
        return [_fill(value, variables) for value in item]
    return string.Template(item).substitute(variables) if isinstance(item, str) else item


def _unknown(name: str, settings: Settings) -> str:
    known = [f"FAIRLEAD_{field.upper()}" for field in type(settings).model_fields]
    if name in known:
        return f"the environment must set {name}"
    return f"variable {name!r} must be one of {', '.join(known)}"
