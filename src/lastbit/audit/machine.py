"""What is installed here, and what of it is known to break an assumption. Nothing is measured.

`lastbit audit` measures; this looks at versions and settings, in a second or two. What it says of
settings is what docs/runtimes.md says of them (`rewriting_page`).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from lastbit.audit.rewriting_page import MENDS, OTHERS
from lastbit.errors import install_command

MET, MAY, BREAKS = "met", "may break", "breaks"
CORE = ("numpy", "scipy", "onnx", "onnxruntime", "platformdirs", "rich", "typer")
EXTRAS = {
    "train": ("torch",),
    "jax": ("jax",),
    "import": ("safetensors", "timm", "torchvision"),
    "vnnlib": ("vnnlib",),
    "report": ("jinja2",),
    "png": ("pillow",),
    "parquet": ("pyarrow",),
    "ray": ("ray",),
}
MODULES = {"pillow": "PIL"}
"""What packages are imported as, where that is not their name."""
FEATURES = ("fma", "avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "asimd", "bf16", "sve")
"""Of a processor: those that decide how sums are carried out, and whether bfloat16 is at hand."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
CPU_INFO = Path("/proc/cpuinfo")
FEWER_BITS = ("BF16", "BFLOAT16", "TF32", "TENSORFLOAT32", "F16", "ANY", "FASTEST")
"""How settings begin that ask for products of fewer bits."""
ENVIRONMENT = {
    "ONEDNN_DEFAULT_FPMATH_MODE": "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE": "ONEDNN_DEFAULT_FPMATH_MODE",
}


@dataclass(frozen=True)
class Package:
    """A package by the extra that brings it ("" of the core); ``version`` None if it is missing.

    ``fix`` installs the extra, or says why the package cannot be imported.
    """

    name: str
    extra: str
    version: str | None
    fix: str = ""


@dataclass(frozen=True)
class Finding:
    """A setting, whether an assumption is met under it, what it does and what mends it."""

    what: str
    status: str
    does: str = ""
    mends: str = ""


@dataclass(frozen=True)
class Machine:
    """What is here: packages, processor, threads, and what is known of their settings."""

    packages: tuple[Package, ...]
    processor: str
    features: tuple[str, ...]
    threads: dict[str, str]
    findings: tuple[Finding, ...]

    @property
    def breaks(self) -> bool:
        """Whether an assumption is known to be broken, as things are set."""
        return any(each.status == BREAKS for each in self.findings)


def machine(environment: Mapping[str, str] = os.environ) -> Machine:
    """Look at this machine. Installed runtimes are imported, and nothing is run on them."""
    processor, features = _processor()
    counted = {"processors": str(os.cpu_count() or "unknown")}
    counted |= {name: environment.get(name, "not set") for name in THREADS}
    return Machine(
        packages=(*_packages(),),
        processor=processor,
        features=features,
        threads=counted,
        findings=(*_arithmetic(), *_variables(environment), *_onnxruntime(), *_torch(), *_jax()),
    )


def _packages() -> Iterator[Package]:
    for name in CORE:
        yield Package(name, "", _version(name), _problem(name))
    for extra, names in EXTRAS.items():
        for name in names:
            version = _version(name)
            fix = install_command(extra) if version is None else _problem(name)
            yield Package(name, extra, version, fix)


def _version(name: str) -> str | None:
    if importlib.util.find_spec(MODULES.get(name, name)) is None:
        return None
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _problem(name: str) -> str:
    """Why a package that is there cannot be imported; empty if it can."""
    try:
        importlib.import_module(MODULES.get(name, name))
    except Exception as error:  # whatever a broken installation raises
        return f"cannot be imported: {error}"
    return ""


def _imported(name: str) -> Any:
    return importlib.import_module(name) if _version(name) and not _problem(name) else None


def _processor() -> tuple[str, tuple[str, ...]]:
    """Its name, and which of `FEATURES` it has; as far as this system tells."""
    name, flags = platform.processor() or platform.machine(), set[str]()
    try:
        lines = CPU_INFO.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        if key.strip() in ("flags", "Features"):
            flags |= set(value.split())
    return name, tuple(each for each in FEATURES if each in flags)


def _arithmetic() -> Iterator[Finding]:
    """Of this process, in which the checker counts."""
    one, half, tiny = np.float32(1), np.float32(2.0**-24), np.float32(2.0**-126)
    nearest = one + half == one and one + np.float32(1.5) * half > one and -one - half == -one
    yield Finding("rounding to nearest, here", MET if nearest else BREAKS,
                  "" if nearest else "sums round in another direction",
                  "" if nearest else "find what sets this process's rounding mode")  # fmt: skip
    kept = tiny * np.float32(0.5) > 0 and np.float64(2.0**-1022) * 0.5 > 0
    yield Finding("subnormal numbers, here", MET if kept else BREAKS,
                  "" if kept else "they are flushed to zero in lastbit's own arithmetic",
                  "" if kept else "unload what was built with -ffast-math")  # fmt: skip


def _known(setting: str) -> tuple[str, str]:
    """What docs/runtimes.md says of a setting: what it does, and what mends it."""
    ((does, mends),) = [said[1:] for said in OTHERS if said[0].startswith(setting)]
    return does, mends


def _variables(environment: Mapping[str, str]) -> Iterator[Finding]:
    """What the environment asks of runtimes, whether they are installed or not."""
    for name, known in ENVIRONMENT.items():
        if environment.get(name, "").upper().startswith(FEWER_BITS):
            yield Finding(f"{name}={environment[name]}", BREAKS, *_known(known))
    flags = environment.get("XLA_FLAGS", "").lower().split()
    for flag in flags:
        if flag.startswith("--xla_cpu_enable_fast_math") and not flag.endswith("=false"):
            yield Finding(f"XLA_FLAGS={flag}", BREAKS, "sums are computed as if they were real",
                          "leave it out")  # fmt: skip
    for name in ("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"):
        if environment.get(name) == "1":
            yield Finding(f"{name}=1", BREAKS, "products in TF32 on a GPU", "leave it unset")


def _onnxruntime() -> Iterator[Finding]:
    providers = onnxruntime.get_available_providers()
    yield Finding("ONNX Runtime on the CPU, at its defaults", MET)
    if "CUDAExecutionProvider" in providers:
        does, mends = MENDS["as it comes (TF32)"]
        yield Finding("ONNX Runtime's CUDA provider, as it comes", MAY, does, mends)
    if platform.machine().lower() in ("aarch64", "arm64"):
        yield Finding("ONNX Runtime on Arm", MAY, *_known("ONNX Runtime on Arm"))


def _torch() -> Iterator[Finding]:
    torch = _imported("torch")
    if torch is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of settings that newer versions name otherwise
        precision = torch.get_float32_matmul_precision()
        onednn = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
        nnpack = torch.backends.nnpack.is_available()
        inside = getattr(getattr(torch.backends.mkldnn, "conv", None), "fp32_precision", "none")
        gpu = torch.cuda.is_available() and torch.backends.cudnn.allow_tf32
    before = [precision == "highest", onednn or not nnpack, inside not in ("bf16", "tf32")]
    if all(before):
        yield Finding("PyTorch on the CPU, as it is set", MET)
    if precision != "highest":
        yield Finding(f"torch.get_float32_matmul_precision() is {precision!r}", BREAKS,
                      *_known("torch.set_float32_matmul_precision"))  # fmt: skip
    if nnpack and not onednn:
        yield Finding("PyTorch without oneDNN", BREAKS, *MENDS["oneDNN off: NNPACK's Winograd"])
    if inside in ("bf16", "tf32"):
        yield Finding(f"torch.backends.mkldnn.conv.fp32_precision is {inside!r}", BREAKS,
                      *MENDS["oneDNN convolutions in bfloat16 by fp32_precision"])  # fmt: skip
    if gpu:
        does, mends = MENDS["as it comes (TF32 in convolutions)"]
        yield Finding("PyTorch on this GPU, as it comes", MAY, does, mends)


def _jax() -> Iterator[Finding]:
    jax = _imported("jax")
    if jax is None:
        return
    yield Finding("jax.jit", MAY, *_known("jax.jit computes a value anew"))
    said = str(jax.config.jax_default_matmul_precision).upper()
    if said.startswith(FEWER_BITS):
        yield Finding(f"jax_default_matmul_precision is {said.lower()!r}", BREAKS,
                      "products of fewer bits in XLA", "leave it unset, or `highest`")  # fmt: skip
