"""An SGLang plugin: `--enable-deterministic-inference` with the CPU's attention backend, so that seeds are honoured.

SGLang admits GPU backends only, because its mode also swaps in GPU kernels that do not depend on the batch. A CPU's own
operators are close enough for tests: a seed then draws the same tokens unless two are as good as tied.
"""

from __future__ import annotations

CPU_ATTENTION = ["torch_native"]


def activate() -> None:
    """What the entry point names; SGLang calls it in each of its processes."""
    from sglang.srt.arg_groups import choices
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType

    choices.add_deterministic_attention_backend_choices(CPU_ATTENTION)
    choices.add_radix_supported_deterministic_attention_backend_choices(CPU_ATTENTION)
    HookRegistry.register(
        "sglang.srt.batch_invariant_ops.enable_batch_invariant_mode", _keep_cpu_operators, HookType.REPLACE
    )


def _keep_cpu_operators(enable_bmm: bool = True) -> None:
    """In place of the GPU kernels: nothing."""
