"""Importing csc_fairseq registers it with fairseq: before fairseq, after it, in the middle of it, and without it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import csc_fairseq
from tests.integration.forking import ForkServer
from tests.integration.running import environment

PUBLISHED = Path(__file__).parents[2] / "examples" / "csc" / "pretrained" / "csc_small.pt"
REGISTERED = """
def registered():
    from fairseq.models import MODEL_REGISTRY
    from fairseq.registry import REGISTRIES
    from fairseq.tasks import TASK_REGISTRY
    names = {"task": TASK_REGISTRY, "model": MODEL_REGISTRY, **{n: r["registry"] for n, r in REGISTRIES.items()}}
    ours = {
        "task": ["csc_pretraining", "speaker_verification"], "model": ["csc", "ctc_probe", "speaker_verifier"],
        "criterion": ["csc", "speaker"], "optimizer": ["layerwise_adam"],
    }
    return all(name in names[kind] for kind in ours for name in ours[kind])

def hooks():
    return [type(finder).__name__ for finder in sys.meta_path if type(finder).__module__.startswith("csc_fairseq")]
"""
# Something that fairseq imports near the end of its own import, and that imports csc_fairseq in turn.
MIDWAY = """
class Midway:
    def find_spec(self, name, path=None, target=None):
        if name == "fairseq.model_parallel" and self in sys.meta_path:
            sys.meta_path.remove(self)
            run()

sys.meta_path.insert(0, Midway())
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Iterator[Callable[..., list[str]]]:
    """run(code, …): the lines that a process prints which has torch, but neither fairseq nor us imported."""
    server = ForkServer(environment(), ["torch", "scipy.stats", "hydra"])
    folder = tmp_path_factory.mktemp("programs")

    def lines(code: str, *arguments: object) -> list[str]:
        program = folder / "program.py"
        program.write_text("import sys\n" + code)
        (answer,) = server.run([str(program), *map(str, arguments)], cwd=folder)
        assert answer.returncode == 0, answer.stdout[-2000:] + answer.stderr[-4000:]
        return answer.stdout.splitlines()

    yield lines
    server.close()


def fresh(code: str, *arguments: object) -> list[str]:
    """The lines that a Python prints which has nothing imported."""
    words = [sys.executable, "-c", "import sys\n" + code, *map(str, arguments)]
    answer = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout[-2000:] + answer.stderr[-4000:]
    return answer.stdout.splitlines()


def test_importing_the_package_loads_neither_torch_nor_fairseq():
    code = "import csc_fairseq\nprint([name for name in ('torch', 'fairseq', 'numpy', 'hydra') if name in sys.modules])"
    assert fresh(code) == ["[]"]


@pytest.mark.parametrize("order", ["csc_fairseq fairseq", "fairseq csc_fairseq"])
def test_fairseqs_loader_opens_the_published_bundle(run, order):
    """Embeddings to the bit those of `load_model`; the hook is gone once it has done its work."""
    first, second = order.split()
    code = f"""{REGISTERED}
import {first}
import {second}
print(registered(), hooks())
import torch
from fairseq import checkpoint_utils
models, cfg, task = checkpoint_utils.load_model_ensemble_and_task([sys.argv[1]])
source = torch.randn(2, 12000, generator=torch.Generator().manual_seed(0))
ours = csc_fairseq.load_model(sys.argv[1]).network
with torch.no_grad():
    print(torch.equal(models[0].eval()(source).queries, ours.eval()(source).queries))
    print([tuple(frames.shape) for frames, *_ in models[0].extract_features(source)["layer_results"]])
print(type(task).__name__, task.identities, len(models[0].table.weight), cfg.task.sample_rate)
"""
    frames = "(95, 2, 64)"
    assert run(code, PUBLISHED) == [
        "True []",
        "True",
        f"[{frames}, {frames}, {frames}]",
        "CscPretrainingTask [] 0 16000",
    ]


def test_fairseqs_loader_reads_other_files_as_before(run, tmp_path):
    """Its own complaint about a file that is neither; bundles of another model, damaged, and with other options."""
    code = """
import torch, csc_fairseq
from fairseq import checkpoint_utils
folder, bundle = sys.argv[1:]
torch.save({"weights": {}}, f"{folder}/other.pt")
entries = torch.load(bundle, weights_only=True)
torch.save(entries | {"architecture": "speaker_verifier"}, f"{folder}/verifier.pt")
entries["state_dict"].pop("norm.gain")
torch.save(entries, f"{folder}/damaged.pt")
for name in ("other", "verifier", "damaged"):
    try:
        checkpoint_utils.load_checkpoint_to_cpu(f"{folder}/{name}.pt")
    except Exception as error:
        print(type(error).__name__, str(error).replace(folder, ""))
state = checkpoint_utils.load_checkpoint_to_cpu(bundle, {"memory_drop": 0.5, "data": "elsewhere"})
print(state["cfg"].model.memory_drop, state["cfg"].model.channels)
"""
    other, verifier, damaged, options = run(code, tmp_path, PUBLISHED)
    assert other == "KeyError 'best_loss'"
    assert verifier.startswith("InputError /verifier.pt: is a checkpoint of architecture 'speaker_verifier', expected")
    assert damaged.startswith("InputError /damaged.pt: lacks weights, 1 in all, the first is norm.gain")
    assert options == "0.5 64"


@pytest.mark.slow  # fairseq's import, seven times
def test_any_module_of_ours_may_be_the_one_that_imports_fairseq(run):
    """It is half imported when fairseq's import ends, and registering needs it whole. Each in a process of its own."""
    code = f"""{REGISTERED}
import importlib, os
import torch, csc_fairseq
children = {{}}
for name in sys.argv[1:]:
    children[os.fork()] = name
    if 0 in children:
        importlib.import_module(name)
        passed = registered() and not hooks()
        module = sys.modules[name]
        os._exit(0 if passed and module.__loader__ is module.__spec__.loader and "Source" in repr(module.__loader__) else 1)
for _ in sys.argv[1:]:
    process, status = os.wait()
    print(children[process], os.waitstatus_to_exitcode(status))
"""
    names = [
        f"csc_fairseq.{name}"
        for name in (
            "data.mixture_dataset", "criterions.speaker", "models.speaker_verifier", "models.bundles", "optimizers.layerwise_adam",
            "tasks.mixing_config", "verification.trials.trial_dataset",
        )
    ]  # fmt: skip
    assert sorted(run(code, *names)) == sorted(f"{name} 0" for name in names)


@pytest.mark.slow  # two fresh imports of fairseq
def test_a_spawned_process_unpickles_a_dataset_of_ours(voices):
    """As a data worker does that is started by spawn: it imports our dataset's module first, and that imports fairseq."""
    code = f"""{REGISTERED}
import multiprocessing

def work(dataset):
    return len(dataset), registered(), hooks()

if __name__ == "__main__":
    import csc_fairseq
    from csc_fairseq.data.manifest import identity_labels, read_manifest
    from csc_fairseq.data.mixing_plans import MixingOptions
    from csc_fairseq.data.mixture_dataset import MixtureDataset
    from csc_fairseq.data.pool import RecordingPool
    manifest = read_manifest(sys.argv[1])
    pool = RecordingPool(manifest, identity_labels(manifest, "speaker"), {{}}, 16000)
    dataset = MixtureDataset(pool, MixingOptions(view_frames=8000), 1, "train", fixed=True)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(*pool.apply(work, [dataset]))
"""
    script = voices / "spawn.py"
    script.write_text("import sys\n" + code)
    answer = subprocess.run(
        [sys.executable, script, voices / "train.tsv"], env=environment(), capture_output=True, text=True, check=False
    )
    assert answer.stdout.splitlines()[-1:] == ["32 True []"], answer.stderr[-4000:]


def test_imported_in_the_middle_of_fairseqs_import_it_waits(run):
    """Nothing is registered before fairseq is complete. The next import of anything does it."""
    code = f"""{REGISTERED}
def run():
    import csc_fairseq
    print(hooks(), "csc_fairseq.models.csc" in sys.modules)
{MIDWAY}
import fairseq
print(registered(), hooks())
import importlib
importlib.import_module(next(name for name in sys.builtin_module_names if name not in sys.modules))  # found by the first finder
print(registered(), hooks())
"""
    assert run(code) == ["['RegistrationHook'] False", "False ['RegistrationHook']", "True []"]


def test_fairseq_may_import_us_as_its_user_dir_in_the_middle_of_its_own_import(run):
    code = f"""{REGISTERED}
from argparse import Namespace
def run():
    from fairseq.utils import import_user_module
    import_user_module(Namespace(user_dir=sys.argv[1]))
    print(hooks(), "csc_fairseq.models.csc" in sys.modules)
{MIDWAY}
import fairseq
import colorsys
print(registered(), hooks())
"""
    assert run(code, Path(csc_fairseq.__file__).parent) == ["['RegistrationHook'] True", "True []"]


@pytest.mark.parametrize("first", ["", "import csc_fairseq"])
def test_fairseq_may_import_us_as_its_user_dir(run, first):
    """Whether we were there or not, and twice."""
    code = f"""{REGISTERED}
from argparse import Namespace
{first}
from fairseq.utils import import_user_module
for _ in range(2):
    import_user_module(Namespace(user_dir=sys.argv[1]))
csc_fairseq = sys.modules["csc_fairseq"]
csc_fairseq.register()
print(registered(), hooks())
"""
    assert run(code, Path(csc_fairseq.__file__).parent) == ["True []"]


def test_without_fairseq_nothing_happens_until_training_is_asked_for(run):
    code = """
sys.modules["fairseq"] = None  # as Python marks what must not be imported
import csc_fairseq
print(csc_fairseq.load_model(sys.argv[1]).sample_rate)
try:
    csc_fairseq.register()
except csc_fairseq.errors.InputError as error:
    print(error)
"""
    assert run(code, PUBLISHED) == [
        "16000",
        "training needs fairseq, which is not installed: run pip install 'csc-fairseq[train]'",
    ]


def test_an_import_of_fairseq_that_fails_registers_nothing(run, tmp_path):
    """And a later one that works does."""
    (tmp_path / "fairseq").mkdir()
    (tmp_path / "fairseq" / "__init__.py").write_text("raise RuntimeError('broken')\n")
    code = f"""{REGISTERED}
import csc_fairseq
sys.path.insert(0, sys.argv[1])
try:
    import fairseq
except RuntimeError as error:
    print(error, hooks())
sys.path.remove(sys.argv[1])
import fairseq
print(registered(), hooks())
"""
    assert run(code, tmp_path) == ["broken ['RegistrationHook']", "True []"]


def test_modules_run_as_programs_are_found_through_the_hook():
    """`python -m` asks a loader for code instead of executing the module by it."""
    answer = subprocess.run(
        [sys.executable, "-m", "csc_fairseq.cli.main", "--version"],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert csc_fairseq.__version__ in answer.stdout, answer.stderr
