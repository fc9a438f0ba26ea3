"""What `[controller]` takes."""

import pytest

from concur_batch.config import resolve
from concur_batch.control.policies import make_policy


@pytest.mark.parametrize("none", ["", "none", "None", "null"])
@pytest.mark.parametrize(("name", "key"), [("aimd", "ceiling"), ("turnover", "first")])
def test_a_controllers_parameter_may_be_none(name, key, none, tmp_path):
    (tmp_path / "c.toml").write_text(f"[controller]\nname = '{name}'\n{key} = 4\n")
    controller = resolve({}, [f"controller.{key}={none}"], tmp_path / "c.toml", {}).controller
    assert controller.parameters == {key: None}
    assert make_policy(name, controller.parameters, 64).controller.first == make_policy(name, {}, 64).controller.first
