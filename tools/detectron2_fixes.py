"""The changes that turn the source distribution of detectron2 0.5 into a wheel for today.

The distribution's Python files are upstream's tag v0.5, of July 2021, without the C++ sources.
Each :class:`Fix` replaces a text that stands in one file an exact number of times; anything else
means that the sources are not the ones that the list was written for, and is an error. What each
fix is for stands beside it, and in the ``FIXES.md`` that the wheel carries.

This file runs before anything is installed: standard library only.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "FIXES",
    "NOTICE_NAME",
    "STUB",
    "Fix",
    "FixError",
    "apply_fixes",
    "fingerprint",
    "notice",
]

NOTICE_NAME = "FIXES.md"


class FixError(Exception):
    """The sources are not the ones that the fixes were written for."""


@dataclass(frozen=True)
class Fix:
    """One replacement in one file.

    Attributes:
        path: File, relative to the root of the source distribution.
        old: Exact text to replace.
        new: Text that takes its place.
        count: How often ``old`` must occur in the file.
        reason: What fails without the fix, for the reader.
    """

    path: str
    old: str
    new: str
    count: int
    reason: str


NUMPY_ALIAS = "NumPy 1.24 removed its aliases of the builtin types"
NUMPY_BOOL = "NumPy 1.24 to 1.26 have no np.bool"

_CODE = (
    Fix(
        "detectron2/data/transforms/transform.py",
        "interp=Image.LINEAR",
        "interp=Image.BILINEAR",
        1,
        "Pillow 10 removed Image.LINEAR, another name of BILINEAR; fails at import",
    ),
    Fix("detectron2/data/build.py", "dtype=np.int", "dtype=int", 2, NUMPY_ALIAS),
    Fix("detectron2/data/datasets/pascal_voc.py", "dtype=np.str", "dtype=str", 1, NUMPY_ALIAS),
    Fix(
        "detectron2/evaluation/sem_seg_evaluation.py",
        "dtype=np.int)",
        "dtype=int)",
        2,
        NUMPY_ALIAS,
    ),
    Fix("detectron2/evaluation/sem_seg_evaluation.py", "np.float)", "float)", 5, NUMPY_ALIAS),
    Fix(
        "detectron2/evaluation/pascal_voc_evaluation.py",
        ".astype(np.bool)",
        ".astype(bool)",
        2,
        NUMPY_BOOL,
    ),
    Fix("detectron2/structures/masks.py", "np.bool)", "bool)", 2, NUMPY_BOOL),
    Fix("detectron2/utils/visualizer.py", "np.bool)", "bool)", 3, NUMPY_BOOL),
    Fix("detectron2/utils/video_visualizer.py", "np.bool)", "bool)", 1, NUMPY_BOOL),
    Fix(
        "detectron2/layers/mask_ops.py",
        "np.array(mask, copy=False)",
        "np.asarray(mask)",
        1,
        "NumPy 2 refuses copy=False where a copy is needed",
    ),
    Fix(
        "detectron2/data/common.py",
        "self._rng.sample(self._fallback_candidates, k=1)",
        "self._rng.sample(list(self._fallback_candidates), k=1)",
        1,
        "Python 3.11 no longer samples from a set",
    ),
    Fix(
        "detectron2/engine/hooks.py",
        "torch.optim.lr_scheduler._LRScheduler",
        "torch.optim.lr_scheduler.LRScheduler",
        2,
        "torch 2 schedulers derive from LRScheduler; their state was not saved",
    ),
    Fix(
        "detectron2/export/__init__.py",
        "from .api import *\n",
        "try:\n"
        "    from .api import *\n"
        "except ModuleNotFoundError as error:\n"
        '    if (error.name or "").partition(".")[0] != "caffe2":\n'
        "        raise\n",
        1,
        "torch no longer contains caffe2, which only export.api needs",
    ),
)

_BUILD = (
    Fix(
        "setup.py",
        "find_packages(exclude=(",
        'find_packages(exclude=("tools", ',
        1,
        "the scripts are not a package; as one they would be installed as top-level 'tools'",
    ),
    Fix(
        "setup.py",
        "ext_modules=get_extensions(),",
        "ext_modules=[],",
        1,
        "the distribution lacks the C++ sources of detectron2._C",
    ),
    Fix(
        "setup.py",
        'cmdclass={"build_ext": torch.utils.cpp_extension.BuildExtension},',
        f'license_files=["LICENSE", "{NOTICE_NAME}"],',
        1,
        "nothing to compile; the list of changes travels with the licence",
    ),
    Fix(
        "setup.py",
        'package_data={"detectron2.model_zoo": get_model_zoo_configs()},',
        'package_data={"detectron2.model_zoo": ["configs/**/*.yaml", "configs/**/*.py"]},',
        1,
        "the model zoo's configs already lie in the package",
    ),
    Fix(
        "setup.py",
        '        "black==21.4b2",\n',
        '        "setuptools<81",\n',
        1,
        "only LazyConfig.to_py uses black; model_zoo needs pkg_resources, gone from new setuptools",
    ),
    Fix(
        "setup.py",
        '"iopath>=0.1.7,<0.1.10"',
        '"iopath>=0.1.7"',
        1,
        "iopath 0.1.10 works too",
    ),
    Fix(
        "setup.py",
        '        "future",  # used by caffe2\n'
        '        "pydot",  # used to save caffe2 SVGs\n'
        "        \"dataclasses; python_version<'3.7'\",\n",
        "",
        1,
        "needed by the caffe2 export or by Python 3.6 only",
    ),
    Fix(
        "setup.py",
        '            "panopticapi @ https://github.com/cocodataset/panopticapi/archive/master.zip",\n',
        "",
        1,
        "an unpinned archive from outside the package registry",
    ),
)

FIXES = _CODE + _BUILD

STUB = '''\
"""Stands for the compiled extension, which this pure-Python build does not have.

Rotated boxes, deformable convolution and the fast COCO evaluation need it and raise on use;
everything else works without. detectron2 imports this module in any case.
"""


def get_compiler_version():
    return "none (pure-Python build)"


def get_cuda_version():
    return "none (pure-Python build)"


def has_cuda():
    return False


def __getattr__(name):
    raise AttributeError(
        f"detectron2._C.{name} needs the compiled extension, which this pure-Python build of "
        "detectron2 0.5 does not have; build upstream's detectron2 by its install guide to use it"
    )
'''


def apply_fixes(root: Path, fixes: Iterable[Fix] = FIXES) -> None:
    """Apply the fixes to unpacked sources, in order, in place.

    Args:
        root: Folder of the unpacked source distribution.
        fixes: What to replace.

    Raises:
        FixError: A file is missing or does not contain the expected text the expected number of
            times; the message names the file, the text and both numbers.
    """
    for fix in fixes:
        path = root / fix.path
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise FixError(f"{fix.path}: the file is missing from the sources") from None
        found = text.count(fix.old)
        if found != fix.count:
            raise FixError(
                f"{fix.path}: expected {fix.old!r} {fix.count} time(s), found {found}; "
                "these are not the sources that the fixes were written for"
            )
        path.write_text(text.replace(fix.old, fix.new), encoding="utf-8")


def fingerprint(fixes: Iterable[Fix] = FIXES) -> str:
    """Short hash of the fixes and of the stub; a wheel with another one is out of date."""
    content = repr(tuple(fixes)) + STUB
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def notice(fixes: Iterable[Fix] = FIXES) -> str:
    """Text of ``FIXES.md``: every changed file with its reason, and the fingerprint."""
    fixes = tuple(fixes)
    lines = [
        "# Changes to detectron2 0.5 in this build",
        "",
        "Built from the source distribution detectron2_cdo 0.5, without the C++ extension.",
        "`detectron2/_C.py` is new: it stands for the extension. Changed files:",
        "",
        *(f"- `{fix.path}` ({fix.count}x): {fix.reason}" for fix in fixes),
        "",
        f"fingerprint: {fingerprint(fixes)}",
        "",
    ]
    return "\n".join(lines)
