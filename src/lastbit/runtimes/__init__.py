"""The programs that execute a model, whole or with every value between shown."""

from lastbit.runtimes.installed import (
    NAMED as NAMED,
    THREADS as THREADS,
    named_runtime as named_runtime,
    other_programs as other_programs,
    runtimes as runtimes,
    thread_settings as thread_settings,
)
from lastbit.runtimes.jax_program import Jax as Jax
from lastbit.runtimes.onnx_runtime import OnnxRuntime as OnnxRuntime
from lastbit.runtimes.pytorch import PyTorch as PyTorch
from lastbit.runtimes.reference import Reference as Reference
from lastbit.runtimes.runtime import Run as Run, Runtime as Runtime
