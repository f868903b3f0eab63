"""The Hydra plugin serves fairseq's programs and leaves every other Hydra program as it is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import csc_fairseq
from tests.integration.running import BIN, run_script

APPLICATION = """
import json, sys
import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    print(json.dumps({
        "config": OmegaConf.to_container(cfg, resolve=True),
        "providers": [source.provider for source in HydraConfig.get().runtime.config_sources],
        "modules": [name for name in ("torch", "fairseq", "csc_fairseq", "numpy") if name in sys.modules],
        "plugins": list(Plugins.instance().get_stats().modules_import_time),
    }))

main()
"""


@pytest.fixture
def application(tmp_path) -> Path:
    """Somebody else's Hydra program, with a configuration that happens to be called like one of ours."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("size: 3\ndouble: ${size}${size}\n")
    (tmp_path / "conf" / "csc_debug.yaml").write_text("theirs: true\n")
    (tmp_path / "app.py").write_text(APPLICATION)
    return tmp_path / "app.py"


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)


def test_other_programs_are_undisturbed(application):
    result = run(sys.executable, application, "size=4", cwd=application.parent)
    assert result.returncode == 0, result.stderr
    seen = json.loads(result.stdout)
    assert seen["config"] == {"size": 4, "double": "44"}
    assert "csc-fairseq" not in seen["providers"]
    assert (
        "hydra_plugins.csc_search_path" in seen["plugins"] and seen["modules"] == []
    )  # loaded, and nothing heavy with it
    assert result.stderr == ""


def test_other_programs_keep_their_own_names(application):
    result = run(sys.executable, application, "--config-name", "csc_debug", cwd=application.parent)
    assert json.loads(result.stdout)["config"] == {"theirs": True}
    result = run(sys.executable, application, "--config-name", "csc_base", cwd=application.parent)
    assert result.returncode != 0 and "Cannot find primary config 'csc_base'" in result.stderr


def test_a_plugin_folder_of_another_distribution_is_still_seen(application):
    """hydra_plugins is a namespace: a second distribution's portion of it is found beside ours."""
    other = application.parent / "hydra_plugins" / "their_plugin"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("import sys\nprint('their plugin', file=sys.stderr)\n")
    result = run(sys.executable, application, cwd=application.parent)
    assert "their plugin" in result.stderr
    assert json.loads(result.stdout)["config"]["size"] == 3


def test_user_dir_is_the_package_that_python_imports(tmp_path):
    code = (
        "import sys; import hydra_plugins.csc_search_path; from omegaconf import OmegaConf;"
        "print(OmegaConf.create({'user_dir': '${csc_user_dir:}'}).user_dir, 'csc_fairseq' in sys.modules)"
    )
    result = run(sys.executable, "-c", code, cwd=tmp_path)
    assert result.stdout.split() == [str(Path(csc_fairseq.__file__).parent), "False"], result.stderr


def test_own_configurations_build_on_ours(tmp_path):
    """A user's YAML in any folder inherits from csc_debug and is typed like it."""
    (tmp_path / "mine.yaml").write_text("defaults: [csc_debug, _self_]\noptimization: {max_update: 7}\n")
    command = (str(BIN / "fairseq-hydra-train"), "--config-dir", str(tmp_path), "--config-name", "mine")
    result = run_script(*command, "--cfg", "job", "--package", "optimization", cwd=tmp_path)
    assert "max_update: 7\n" in result.stdout, result.stderr
    result = run_script(*command, "optimization.no_such_option=1", "--cfg", "job", cwd=tmp_path)
    assert result.returncode != 0 and "no_such_option" in result.stderr
