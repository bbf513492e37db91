"""How weights are cut into buckets; no engine is needed."""

from __future__ import annotations

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from mopd_backends.sglang.transfer import buckets


@given(sizes=st.lists(st.integers(1, 40), max_size=20), limit=st.integers(1, 200))
def test_buckets_hold_every_tensor_once_in_order_and_as_many_as_fit(sizes, limit):
    tensors = [(str(i), torch.full((size,), i, dtype=torch.float64)) for i, size in enumerate(sizes)]
    cut = list(buckets(iter(tensors), torch.float32, limit))
    assert [name for bucket in cut for name, _ in bucket] == [name for name, _ in tensors]
    assert all(len(bucket) == 1 or sum(tensor.nbytes for _, tensor in bucket) <= limit for bucket in cut)
    for first, second in pairwise(cut):
        assert sum(tensor.nbytes for _, tensor in first) + second[0][1].nbytes > limit


def test_tensors_are_sent_whole_and_in_the_dtype_that_the_engine_computes_in():
    matrix = torch.arange(6.0).reshape(2, 3).t().requires_grad_()
    (((_, sent),),) = buckets([("w", matrix)], torch.bfloat16, 10)
    assert sent.dtype == torch.bfloat16
    assert sent.is_contiguous()
    assert not sent.requires_grad
    assert sent.tolist() == matrix.tolist()
