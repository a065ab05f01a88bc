"""The programs that execute a model, whole or with every value between shown."""

from lastbit.runtimes.installed import (
    THREADS as THREADS,
    other_programs as other_programs,
    runtimes as runtimes,
    thread_settings as thread_settings,
)
from lastbit.runtimes.onnx_runtime import OnnxRuntime as OnnxRuntime
from lastbit.runtimes.pytorch import PyTorch as PyTorch
from lastbit.runtimes.reference import Reference as Reference
from lastbit.runtimes.runtime import Run as Run, Runtime as Runtime
