"""What inductor makes of a graph is matched; what it must not make is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lastbit.audit.structure.inductor_code import Kernels, kernels_of
from lastbit.audit.structure.tracing import Tracing
from support.audited import Audited, audited, residual

torch = pytest.importorskip("torch")


# ---- its code --------------------------------------------------------------------------------

CODE = """
cpp_fused_first = async_compile.cpp_pybinding(['const float*', 'float*'], '''
extern "C"  void  kernel(const float* in_ptr0, float* out_ptr0)
{
    for(int64_t x0=static_cast<int64_t>(0LL); x0<static_cast<int64_t>(48LL); x0+=8LL)
    {
        auto tmp0 = at::vec::Vectorized<float>::loadu(in_ptr0 + x0, static_cast<int64_t>(16));
        auto tmp1 = tmp0.neg();
        auto tmp2 = tmp1.exp();
        auto tmp3 = static_cast<float>(1.0);
        auto tmp4 = at::vec::Vectorized<float>(tmp3);
        auto tmp5 = tmp4 + tmp2;
        auto tmp6 = tmp0 / tmp5;
        tmp6.store(out_ptr0 + x0);
        CURVE
    }
}
''')


class Runner:
    def call(self, args):
        buf0 = extern_kernels.convolution(arg1, arg0, stride=(1, 1))
        cpp_fused_first(arg0, buf0)
        CALL
"""


def read(curve: str = "", call: str = "", old: str = "", new: str = "") -> Kernels:
    return kernels_of(CODE.replace("CURVE", curve).replace("CALL", call).replace(old, new))


def test_a_kernel_is_read() -> None:
    found = read()
    assert found.unknown == ()
    assert found.operations == {"cpp_fused_first": 4}
    assert found.calls == {"cpp_fused_first": 1}
    assert found.curves == (1, 0)
    assert read(call="cpp_fused_first(buf0, arg0)").curves == (2, 0)
    assert read(curve="auto tmp9 = std::exp(tmp8);").curves == (1, 1)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("tmp1.exp()", "tmp1.exp_u20()", "cpp_fused_first calls exp_u20"),
        ("tmp1.exp()", "at::vec::fmadd(tmp1, tmp0, tmp0)", "calls at::vec::fmadd"),
        ("static_cast<float>(1.0)", "static_cast<bfloat16>(1.0)", "calls bfloat16"),
        ("extern_kernels.convolution", "torch.ops.mkldnn._convolution_pointwise.default",
         "the program calls torch.ops.mkldnn"),
    ],
)  # fmt: skip
def test_a_function_that_is_not_known_is_named(old: str, new: str, named: str) -> None:
    assert any(named in line for line in read(old=old, new=new).unknown)


@dataclass
class Graph:
    """A graph of so many sigmoids, for the count of exponentials."""

    sigmoids: int

    @property
    def nodes(self) -> Iterator[object]:
        for _ in range(self.sigmoids):
            yield type("Node", (), {"target": "aten.sigmoid.default"})()


def test_exponentials_that_are_computed_twice_by_other_functions_are_named() -> None:
    from lastbit.audit.structure.inductor import _twice

    vector, both = read(), read(curve="auto tmp9 = std::exp(tmp8);")
    again = read(call="cpp_fused_first(buf0, arg0)")
    assert _twice(Graph(1), vector) == []  # type: ignore[arg-type]
    assert _twice(Graph(2), both) == []  # type: ignore[arg-type]
    assert _twice(Graph(1), again) == []  # type: ignore[arg-type]
    (said,) = _twice(Graph(1), both)  # type: ignore[arg-type]
    assert "some by a vector's function and some by a scalar's" in said


# ---- its graph -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    return audited(residual(), tmp_path_factory.mktemp("residual"))


def aten(subject: Audited) -> tuple[Any, list[Any]]:
    """The graph that inductor is given, and what its placeholders are: no code is generated."""
    from torch._dynamo.backends.common import aot_autograd
    from torch._inductor.decomposition import select_decomp_table

    from lastbit.audit.structure.matched import probes
    from lastbit.runtimes.torch_network import TorchNetwork

    whole, found = TorchNetwork(subject.network), []

    def kept(module: Any, _: Any) -> Any:
        for node in module.graph.nodes:  # from float32 to float32: inductor leaves them out
            if "convert_element_type" in str(node.target):
                node.replace_all_uses_with(node.args[0])
                module.graph.erase_node(node)

        def run(*given: Any) -> Any:
            found.append((module.graph, [*given]))
            return module(*given)

        return run

    backend = aot_autograd(fw_compiler=kept, decompositions=select_decomp_table())
    with torch.inference_mode():
        torch.compile(lambda x: whole.probabilities(x), backend=backend)(
            torch.from_numpy(probes(subject.form, 3)).float()
        )
    return found[0]


def traced(subject: Audited, graph: Any, given: list[Any]) -> Tracing:
    from lastbit.audit.structure.fx_graph import traced_fx

    tracing = Tracing(subject.subject.structures.expected)
    assert traced_fx(graph, given, (3, *subject.form.input.shape), tracing) > 10
    return tracing


def target(graph: Any, name: str, which: int = 0) -> Any:
    return [n for n in graph.nodes if name in str(n.target)][which]


def test_a_graph_is_matched(subject: Audited) -> None:
    graph, given = aten(subject)
    tracing = traced(subject, graph, given)
    assert tracing.unknown == []
    assert {node.name for node in subject.form.nodes[1:]} <= set(tracing.copies)


def test_an_operation_that_is_not_known_is_named(subject: Audited) -> None:
    graph, given = aten(subject)
    target(graph, "sigmoid").target = torch.ops.aten.sinh.default
    assert any(
        "no operation that is known here" in s for s in traced(subject, graph, given).unknown
    )


def test_another_sum_is_named(subject: Audited) -> None:
    graph, given = aten(subject)
    node = [n for n in graph.nodes if "add.Tensor" in str(n.target)][-1]
    node.target = torch.ops.aten.sub.Tensor
    assert traced(subject, graph, given).unknown


def test_other_weights_are_named(subject: Audited) -> None:
    graph, given = aten(subject)
    which = max(range(1, len(given)), key=lambda k: given[k].numel())
    moved = given[which].clone()
    moved.view(-1)[7] *= 1 + 2.0**-16
    given[which] = moved
    assert traced(subject, graph, given).unknown


# ---- the real thing --------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Inductor's own making
def test_what_inductor_makes_is_matched(tmp_path: Path) -> None:
    from lastbit.audit.functions import compiler_problem
    from lastbit.audit.structure.inductor import inductor_structure

    if compiler_problem():
        pytest.skip(compiler_problem())
    network = audited(residual(), tmp_path)
    found = inductor_structure(network.subject.structures, network.network)
    assert (found.broken, found.unequal) == ((), ())
    assert found.nodes == found.all_nodes
    assert found.rewritings["hide"] >= 1
