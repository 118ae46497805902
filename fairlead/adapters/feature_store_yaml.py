"""The environment's feature_store.yaml, with its variables filled in."""

import string
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
        text = string.Template(path.read_text(encoding="utf-8")).substitute(settings.environ())
        config = YAML(typ="safe").load(text)
    except OSError as error:
        raise FeatureError(f"{path}: cannot be read: {error.strerror}") from None
    except KeyError as error:
        raise FeatureError(f"{path}: variable {error} must be one of {', '.join(settings.environ())}") from None
    except (YAMLError, ValueError) as error:
        raise FeatureError(f"{path}: must be YAML with ${{variables}}, but: {error}") from None
    if not isinstance(config, dict):
        raise FeatureError(f"{path}: must hold a mapping, but holds {config!r}")
    return config
