"""Components are thin: what they do is in `fairlead`."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest

FOLDERS = sorted(path.parent.name for path in (Path(__file__).parents[2] / "components").glob("*/component.py"))


@pytest.fixture(params=FOLDERS)
def component(request):
    module = import_module(f"components.{request.param}.component")
    return getattr(module, request.param)


def test_a_component_is_short(component):
    assert len(inspect.getsource(component.python_func).splitlines()) < 80


def test_a_component_does_not_install_anything(component):
    assert "pip install" not in " ".join(component.component_spec.implementation.container.command)


def test_a_component_has_the_name_of_its_folder(component):
    assert component.name.replace("-", "_") in FOLDERS


def test_a_component_says_what_each_argument_is(component):
    for name in component.python_func.__annotations__:
        if name != "return":
            assert f"        {name}: " in component.python_func.__doc__
