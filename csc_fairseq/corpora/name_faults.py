"""Names of recordings that `csc check` does not let through. They are compared by hashes first, and as text where these agree."""

import os
from collections.abc import Callable, Iterator

import numpy as np

from csc_fairseq.corpora.entries import Entries
from csc_fairseq.corpora.repetitions import cut_ending, twins_by_name, without_ending
from csc_fairseq.data.texts import Names
from csc_fairseq.text import normal


def faulty_names(entries: Entries) -> list[tuple[int, str]]:
    """Lines and messages: paths that leave the root; names that are there twice, or twice but for the ending or Unicode form."""
    found = []
    for i in leaving_root(entries.paths):
        message = f"{entries.paths[i]} lies outside the audio folder of line 1; write a folder above both there"
        found.append((int(entries.lines[i]), message))
    return found + _repeated_names(entries)


def leaving_root(paths: Names) -> Iterator[int]:
    """Positions of paths that are absolute, or lead out of the folder that they begin in."""
    first_bytes = np.frombuffer(paths.buffer, dtype=np.uint8)[paths.starts[paths.lengths > 0]]
    if b".." in paths.buffer or (first_bytes == ord("/")).any():
        for i, path in enumerate(paths):
            if ".." in path or path.startswith("/"):
                normal_path = os.path.normpath(path)
                if os.path.isabs(normal_path) or normal_path.split(os.sep)[0] == os.pardir:
                    yield i


def _repeated_names(entries: Entries) -> list[tuple[int, str]]:
    suspects = repeated(stem_hashes(entries.names)).tolist()
    lines = [int(entries.lines[i]) for i in suspects]
    given = [entries.names[i] for i in suspects]
    found = []
    first: dict[str, int] = {}
    distinct = []
    for i, name in enumerate(map(os.path.normpath, given)):
        earlier = first.setdefault(name, i)
        if earlier == i:
            distinct.append(i)
        else:
            found.append((lines[i], f"{given[i]} is already on line {lines[earlier]}; remove one of the two"))
    names = [os.path.normpath(given[i]) for i in distinct]
    for i, earlier in twins_by_name(names).items():
        same = normal(names[i]) == normal(names[earlier])
        what = f"({ascii(names[i])}, {ascii(names[earlier])}) in its Unicode form" if same else "in its ending"
        place = f"the recording on line {lines[distinct[earlier]]}"
        message = f"{given[distinct[i]]} differs from {place} {what} alone; remove one of the two"
        found.append((lines[distinct[i]], message))
    return found


def repeated(hashes: np.ndarray) -> np.ndarray:
    """Positions of numbers that are there more than once, ascending."""
    order = np.argsort(hashes, kind="stable")
    same = np.flatnonzero(np.diff(hashes[order]) == 0)
    return np.unique(order[np.concatenate([same, same + 1])])


def stem_hashes(names: Names, folder: str = "") -> np.ndarray:
    """int64 [N]: equal, in this process, where `without_ending` of the normal path is equal. folder: of all names, "" for none."""
    return np.fromiter(map(hash, map(_stem_of(names, folder), names)), np.int64)


def _stem_of(names: Names, folder: str) -> Callable[[str], str]:
    """What gives the part of a name that counts. Where all are plain that is quick, and 10 million are many."""
    buffer = names.buffer
    odd = (b"//", b"/.", b".zip:", b"./", b"/\t", b"/\n")  # what no normal path has, ends included; slices
    if (
        not buffer.isascii()
        or buffer.endswith(b"/")
        or any(sign in buffer for sign in odd)
        or (folder and os.path.normpath(folder) != folder)
    ):
        return lambda name: without_ending(os.path.normpath(os.path.join(folder, name)))
    before = f"{folder}/" if folder else ""
    return lambda name: before + cut_ending(name)
