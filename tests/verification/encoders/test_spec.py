"""What `--encoder` says, taken apart: labels, options that may be paths, and sums."""

import pytest

from csc_fairseq.errors import InputError
from csc_fairseq.verification.encoders.spec import EncoderSpec, SumSpec, encoder_name, parse_spec, parse_sum


@pytest.mark.parametrize(
    ("text", "name", "target", "options"),
    [
        ("mfcc", "mfcc", "mfcc", {}),
        ("GE2E (resemblyzer)=ge2e", "GE2E (resemblyzer)", "ge2e", {}),
        ("untrained:csc_small", "untrained:csc_small", "untrained:csc_small", {}),
        ("a.pt,variant=s", "a.pt,variant=s", "a.pt", {"variant": "s"}),
        ("ours=runs/lr=1/a.pt,variant=s", "ours", "runs/lr=1/a.pt", {"variant": "s"}),
        ("runs/lr=1/a.pt", "runs/lr=1/a.pt", "runs/lr=1/a.pt", {}),
        ("./lr=1.pt", "./lr=1.pt", "./lr=1.pt", {}),
        ("runs/a,b/c.pt,layer=4", "runs/a,b/c.pt,layer=4", "runs/a,b/c.pt", {"layer": "4"}),
        ("mine=my.module:make,rate=8000", "mine", "my.module:make", {"rate": "8000"}),
        ("x,a=1,b=2", "x,a=1,b=2", "x", {"a": "1", "b": "2"}),
        ("mfcc,separate=c.pt", "mfcc,separate=c.pt", "mfcc", {"separate": "c.pt"}),
        (
            "a=w.pt,layer=2,separate=runs/lr=1/c.pt,mixture=yes",
            "a",
            "w.pt",
            {"layer": "2", "separate": "runs/lr=1/c.pt", "mixture": "yes"},
        ),
    ],
)
def test_specs(text, name, target, options):
    assert parse_spec(text) == EncoderSpec(name, target, options)
    assert parse_sum(text) is None and encoder_name(text) == name


def test_specs_that_name_nothing():
    for text in ("", "=mfcc", "x=", ",layer=3"):
        with pytest.raises(InputError, match="names none; expected .LABEL=.ENCODER"):
            parse_spec(text)
    with pytest.raises(InputError, match="layer is given twice"):
        parse_spec("a.pt,layer=1,layer=2")


@pytest.mark.parametrize(
    ("text", "name", "parts"),
    [
        ("csc.pt+campplus", None, ("csc.pt", "campplus")),
        ("both=csc.pt + campplus", "both", ("csc.pt", "campplus")),
        ("a + b=runs/x=1/a.pt,variant=s+m.n:f,rate=8000", "a + b", ("runs/x=1/a.pt,variant=s", "m.n:f,rate=8000")),
        (
            "mfcc,separate=a/c.pt,mixture=yes+ge2e,separate=c.pt",
            None,
            ("mfcc,separate=a/c.pt,mixture=yes", "ge2e,separate=c.pt"),
        ),
        ("x=e.npz+untrained:csc_debug,seed=2", "x", ("e.npz", "untrained:csc_debug,seed=2")),
    ],
)
def test_sums(text, name, parts):
    assert parse_sum(text) == SumSpec(name or text, parts)
    assert encoder_name(text) == (name or text)


def test_a_plus_in_a_path(tmp_path, monkeypatch):
    """It belongs to a file that is there, wherever the file is named; without the file it may be a sum."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a+b").mkdir()
    for name in ("a.pt+mfcc", "a+b/c.pt", "lr+1.pt"):
        (tmp_path / name).touch()
    assert parse_sum("a.pt+mfcc") is None and parse_sum("x=a.pt+mfcc") is None
    assert parse_sum("b.pt+mfcc") == SumSpec("b.pt+mfcc", ("b.pt", "mfcc"))
    assert parse_sum("lr+1.pt,variant=s") is None and parse_sum("mfcc,separate=a+b/c.pt") is None
    assert parse_sum("lr+2.pt") is None  # no sum either: lr is no encoder
    assert parse_sum("lr+1.pt+a+b/c.pt").parts == ("lr+1.pt", "a+b/c.pt")
    assert parse_sum("mfcc,separate=a+b/c.pt+a.pt+mfcc").parts == ("mfcc,separate=a+b/c.pt", "a.pt+mfcc")


def test_folders_of_sweeps(tmp_path, monkeypatch):
    """What names a file is that file, with all its `=` and `,`; without the file, `lr` is a label as ever."""
    monkeypatch.chdir(tmp_path)
    job = "lr=[0.001],seed=1"
    for name in (f"{job}/c.pt", "runs/lr=0.1,seed=1.pt", "lr=0.1.pt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for text, target, options in (
        (f"{job}/c.pt", f"{job}/c.pt", {}),
        (f"{job}/c.pt,variant=s", f"{job}/c.pt", {"variant": "s"}),
        ("runs/lr=0.1,seed=1.pt", "runs/lr=0.1,seed=1.pt", {}),
        ("runs/lr=0.1,seed=1.pt,layer=3", "runs/lr=0.1,seed=1.pt", {"layer": "3"}),
        (
            "mfcc,separate=runs/lr=0.1,seed=1.pt,mixture=yes",
            "mfcc",
            {"separate": "runs/lr=0.1,seed=1.pt", "mixture": "yes"},
        ),
        (f"mfcc,separate={job}/c.pt", "mfcc", {"separate": f"{job}/c.pt"}),
    ):
        assert parse_spec(text) == EncoderSpec(text, target, options)
        assert parse_spec(f"ours={text}") == EncoderSpec("ours", target, options)
        assert parse_sum(text) is None and parse_sum(f"ours={text}") is None
    assert parse_spec("lr=0.2.pt") == EncoderSpec("lr", "0.2.pt", {})
    for text in (f"{job}/c.pt,variant=s+mfcc", f"mfcc+{job}/c.pt", f"mfcc + {job}/c.pt", "lr=0.1.pt+mfcc"):
        one, other = text.split("+")
        assert parse_sum(text) == SumSpec(text, (one.strip(), other.strip()))
        assert parse_sum(f"both={text}") == SumSpec("both", (one.strip(), other.strip()))


def test_what_is_no_sum_of_two():
    for text in ("mfcc", "mfcc+", "+mfcc", "mfcc+gone", "mfcc+ge2e+campplus", "x=mfcc+y=ge2e", "=mfcc+ge2e", ""):
        assert parse_sum(text) is None
