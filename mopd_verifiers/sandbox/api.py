"""What verifiers import to run programs: the sandbox, the values that go in and come out, and its options.

A remote sandbox is another class that implements `Runner`.
"""

from __future__ import annotations

from mopd_verifiers.sandbox.config import Layer, SandboxConfig
from mopd_verifiers.sandbox.inside.job import Job
from mopd_verifiers.sandbox.program import (
    SCRIPT,
    Interpreter,
    Limits,
    OnReport,
    Program,
    Result,
    Runner,
    Status,
)
from mopd_verifiers.sandbox.sandbox import Sandbox

__all__ = [
    "SCRIPT",
    "Interpreter",
    "Job",
    "Layer",
    "Limits",
    "OnReport",
    "Program",
    "Result",
    "Runner",
    "Sandbox",
    "SandboxConfig",
    "Status",
]
