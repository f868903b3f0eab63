"""`fairseq-hydra-train --config-name csc_debug` from end to end, and the same from two processes or after a stop."""

import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from csc_fairseq.cli.main import main
from tests.integration.running import BIN, command, environment, logged, run_ranks, run_script, run_together, train


def test_training_logs_what_was_promised(trained):
    run, process = trained
    steps = logged(process)
    assert [int(step["num_updates"]) for step in steps] == list(range(1, 13))
    assert {"loss", "separation_loss", "query_loss", "attended_loss", "accuracy", "data_wait"} <= steps[-1].keys()
    last = logged(process, "valid")[-1]
    figures = "si_snri query_loss attended_loss accuracy bound bound_uniform gradient_ratio table_spread effective_rank".split()
    assert {f"valid_{name}" for name in figures} <= last.keys()
    assert float(last["valid_bound_uniform"]) == pytest.approx(math.log(8) - float(last["valid_query_loss"]), abs=2e-3)
    assert float(last["valid_bound"]) < float(
        last["valid_bound_uniform"]
    )  # four targets: identities are not equally frequent
    assert any((run / "tensorboard").rglob("events.out.tfevents*"))


def test_embedding_survives_a_moved_checkpoint(trained, voices, tmp_path):
    """The checkpoint alone, elsewhere, with its run folder and data gone, in a process that never saw fairseq."""
    run, _ = trained
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    moved = Path(shutil.move(copy / "checkpoints" / "checkpoint_best.pt", tmp_path / "moved.pt"))
    shutil.rmtree(copy)
    audio = voices / "audio" / "s08" / "t00.flac"
    code = (
        "import sys, csc_fairseq\n"
        "model = csc_fairseq.load_model(sys.argv[1])\n"
        "e = model.embed(sys.argv[2])\n"
        "print(e.shape, round(float((e * e).sum()), 4), 'fairseq' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(moved), str(audio)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "(16,) 1.0 False"


def test_fairseq_loads_the_checkpoint_too(trained):
    """Through fairseq's own loader, after an import of ours: the embedding is the same as through `load_model`."""
    run, _ = trained
    path = str(run / "checkpoints" / "checkpoint_best.pt")
    code = (
        "import sys, torch\n"
        "import csc_fairseq\n"
        "from fairseq import checkpoint_utils\n"
        "models, _, task = checkpoint_utils.load_model_ensemble_and_task([sys.argv[1]])\n"
        "x = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))\n"
        "model = csc_fairseq.load_model(sys.argv[1])\n"
        "model.period = 1  # the recording as it begins\n"
        "ours = model.embed_sources(x[0], sample_rate=16000)\n"
        "theirs = models[0].eval()(x).queries[0]\n"
        "print(len(task.identities), bool(torch.allclose(ours, theirs, atol=1e-5)))\n"
        "print(sorted(models[0].extract_features(x)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, path], env=environment(), capture_output=True, text=True, check=False
    )
    entries = "['features', 'layer_results', 'padding_mask', 'x']"
    assert answer.stdout.splitlines()[-2:] == ["8 True", entries], answer.stderr[-2000:]


def test_stop_and_resume_equals_no_stop_bit_for_bit(voices, tmp_path):
    """12 updates against 6, a stop in the middle of an epoch, and 6 more: weights, table, bank, optimiser, every logged figure."""
    limits = ("optimization.max_update=12", "checkpoint.save_interval_updates=6", "checkpoint.keep_interval_updates=-1")
    whole = train(voices, tmp_path / "whole", *limits)
    steps = logged(whole)
    saved = tmp_path / "whole" / "checkpoints" / "checkpoint_1_6.pt"  # what a stop after update 6 leaves behind
    resumed_from = tmp_path / "parts" / "checkpoints"
    resumed_from.mkdir(parents=True)
    shutil.copy(saved, resumed_from / "checkpoint_last.pt")
    rest = logged(train(voices, tmp_path / "parts", *limits, "dataset.num_workers=1"))

    assert [step["num_updates"] for step in rest] == [step["num_updates"] for step in steps[6:]]
    for ours, theirs in zip(rest, steps[6:], strict=True):
        for name in ("loss", "separation_loss", "query_loss", "attended_loss", "gnorm", "lr"):
            assert ours[name] == theirs[name], (name, ours["num_updates"])
    states = [
        torch.load(tmp_path / run / "checkpoints" / "checkpoint_last.pt", weights_only=True)
        for run in ("whole", "parts")
    ]
    for name, value in states[0]["model"].items():
        assert torch.equal(value, states[1]["model"][name]), name
    first, second = (state["last_optimizer_state"]["state"] for state in states)
    assert first.keys() == second.keys() and len(first) > 10
    for key, entry in first.items():
        assert all(torch.equal(torch.as_tensor(entry[name]), torch.as_tensor(second[key][name])) for name in entry)
    halfway = torch.load(saved, weights_only=True)["model"]
    changed = [name for name, value in states[0]["model"].items() if not torch.equal(value, halfway[name])]
    assert any("memory.entries" in name for name in changed) and any("table.weight" in name for name in changed)


def test_two_ranks_with_views_as_global_vectors(voices, tmp_path):
    """They do not wait for each other for ever and agree to the bit, also where one of them has no data, at an epoch's end."""
    limits = ("task.valid_recordings=8", "optimization.max_update=5", "model.global_vectors=views", "model.memory=none")
    more = (
        "model.view_aggregate=attention",
        "model.view_memory=16",
        "task.views=3",
        "dataset.batch_size=7",
        "optimization.skip_remainder_batch=false",
    )
    states, _ = run_ranks(voices, tmp_path / "two", 2, *limits, *more)
    for name, value in states[0]["model"].items():
        assert torch.equal(value, states[1]["model"][name]), f"{name} differs between the ranks"
    assert "table.weight" not in states[0]["model"] and "identity_key" not in states[0]["model"]
    assert all(0 < losses["query_loss"] < 1000 for losses in states[0]["losses"]) and len(states[0]["losses"]) == 5


VIEW_RANK = """
import sys, torch
import torch.distributed as dist
from csc_fairseq.modules.global_vectors import Talkers
from csc_fairseq.modules.view_vectors import ViewVectors

world, rank, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if world > 1:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
torch.manual_seed(0)
vectors = ViewVectors(8, 12.0, "attention")
torch.nn.init.normal_(vectors.query.weight)
leaves = torch.randn(18, 8, requires_grad=True)
numbers = torch.arange(18) // 3 % 5
part = slice(None) if world == 1 else [slice(0, 11), slice(11, 18)][rank]  # not the same number of streams
embeddings = torch.nn.functional.normalize(leaves, dim=-1)[part]
found = vectors.identify(embeddings, Talkers(numbers[part], numbers[part], (torch.arange(18) % 3)[part]))
found.losses[found.scored].sum().backward()
gradients = [leaves.grad, vectors.query.weight.grad, vectors.key.weight.grad]
if world > 1:
    for gradient in gradients:
        dist.all_reduce(gradient)
torch.save({"losses": found.losses.detach(), "gradients": gradients}, f"{folder}/{world}-{rank}.pt")
"""


def test_ranks_compare_with_each_others_talkers(tmp_path):
    """Losses of all streams, and the gradients of all embeddings and of the attention, are those of one rank with everything."""
    program = tmp_path / "rank.py"
    program.write_text(VIEW_RANK)
    run_script(str(program), "1", "0", str(tmp_path), cwd=tmp_path)
    run_together(*([str(program), "2", str(rank), str(tmp_path)] for rank in (0, 1)), cwd=tmp_path)
    one, *two = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("1-0", "2-0", "2-1"))
    torch.testing.assert_close(torch.cat([rank["losses"] for rank in two]), one["losses"])
    for alone, together in zip(one["gradients"], two[1]["gradients"], strict=True):
        assert alone.abs().max() > 0.01
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_two_ranks_equal_one_rank_at_the_same_global_batch(voices, tmp_path):
    """Two ranks of 4 items against one rank that gathers two batches of 4 per update: losses to 1e-5; ranks agree to the bit."""
    limits = ("task.valid_recordings=16", "optimization.max_update=6", "criterion.contrastive_warmup=0")
    (one,), _ = run_ranks(voices, tmp_path / "one", 1, *limits, "optimization.update_freq=[2]")
    two, _ = run_ranks(voices, tmp_path / "two", 2, *limits)
    for name, value in two[0]["model"].items():
        assert torch.equal(value, two[1]["model"][name]), f"{name} differs between the ranks"
    assert len(one["losses"]) == len(two[0]["losses"]) == 6
    for alone, together in zip(one["losses"], two[0]["losses"], strict=True):
        assert alone.keys() == together.keys()
        for name, value in alone.items():
            assert together[name] == pytest.approx(value, rel=1e-5, abs=1e-5), name
    assert two[0]["model"]["encoder.memory.filled"] == 24
    for name, value in one["model"].items():
        torch.testing.assert_close(
            two[0]["model"][name], value, atol=2e-4, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_stock_wav2vec_trains_on_the_same_manifests(voices, tmp_path):
    """fairseq's own task, model and criterion; only the configuration is ours."""
    process = train(
        voices, tmp_path / "w2v", "optimization.max_update=12", "dataset.max_tokens=64000", "common.log_interval=1",
        "lr_scheduler.warmup_updates=0", config="wav2vec2_small",
    )  # fmt: skip
    losses = [float(step["loss"]) for step in logged(process)]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


@pytest.mark.slow
def test_both_train_on_one_packed_manifest(voices, tmp_path):
    """Stock wav2vec 2.0 learns, and csc does as with loose files."""
    manifests = [str(voices / f"{split}.tsv") for split in ("train", "valid")]
    assert main(["pack", *manifests, "--out", str(tmp_path / "packed"), "--shard-size", "300K"]) == 0
    process = train(
        tmp_path / "packed", tmp_path / "w2v", "optimization.max_update=12", "dataset.max_tokens=64000",
        "common.log_interval=1", "lr_scheduler.warmup_updates=0", config="wav2vec2_small",
    )  # fmt: skip
    losses = [float(step["loss"]) for step in logged(process)]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    loose, packed = (
        logged(train(data, tmp_path / data.name / "run", "optimization.max_update=4", "task.cache_megabytes=0"))
        for data in (voices, tmp_path / "packed")
    )
    assert len(packed) == 4
    assert [step["loss"] for step in packed] == [step["loss"] for step in loose]


TUNING = ("ctc_probe", "sv_aam", "sv_ge2e", "sv_proto", "sv_wav2vec2")  # need a pre-trained encoder


UNLABELLED = ("csc_small_unlabelled", "csc_base_unlabelled")


@pytest.mark.parametrize(
    "name", ["csc_debug", "csc_small", "csc_base", *UNLABELLED, "wav2vec2_small", "sv_fbank", *TUNING]
)
def test_configurations_are_found_by_name_from_anywhere(name, tmp_path):
    pretrained = ("model.pretrained=/pretrained.pt",) if name in TUNING else ()
    words = [str(BIN / "fairseq-hydra-train"), "--config-name", name, "task.data=/data", *pretrained]
    answer = run_script(*words, "--cfg", "all", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr[-2000:]
    settings = yaml.safe_load(answer.stdout)
    assert settings["hydra"]["run"]["dir"] == f"runs/{name}" and settings["task"]["data"] == "/data"
    # In the run's folder, or the job's with --multirun, whose folders are below the run's and named by what differs.
    assert settings["checkpoint"]["save_dir"] == "${hydra:runtime.output_dir}/checkpoints"
    assert settings["common"]["tensorboard_logdir"] == "${hydra:runtime.output_dir}/tensorboard"
    assert settings["hydra"]["sweep"] == {"dir": "${hydra.run.dir}", "subdir": "${hydra.job.override_dirname}"}


@pytest.mark.slow
def test_torchrun_on_a_cpu(voices, tmp_path):
    """The documented command: two processes make one training, and it is that of one process at the same global batch."""
    limits = ("optimization.max_update=4", "criterion.contrastive_warmup=0", "common.cpu=true")
    assert train(voices, tmp_path / "one", *limits, "optimization.update_freq=[2]").returncode == 0
    program = str(BIN / "fairseq-hydra-train")
    (tmp_path / "two").mkdir()
    words = ["--nproc_per_node", "2", program, *command(voices, tmp_path / "two", *limits)]
    process = subprocess.run(
        [str(BIN / "torchrun"), "--standalone", *words],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    assert len(logged(process)) == 4  # of the first process; the second one is silent
    one, two = (
        torch.load(tmp_path / run / "checkpoints" / "checkpoint_last.pt", weights_only=True) for run in ("one", "two")
    )
    assert two["cfg"]["distributed_training"]["distributed_world_size"] == 2
    for name, value in one["model"].items():
        torch.testing.assert_close(
            two["model"][name], value, atol=2e-4, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
        )
