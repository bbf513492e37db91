"""A runner that plays back what a sandbox would say, and remembers what it was asked to run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from mopd_verifiers.sandbox.program import Limits, OnReport, Program, Result


def lines(*parts) -> tuple[bytes, ...]:
    """Report lines, as the driver writes them."""
    return tuple(part if isinstance(part, bytes) else json.dumps(part).encode() for part in parts)


@dataclass
class ScriptedRunner:
    """Gives back `results` in order; a result's report is told line by line until the caller has enough."""

    results: list[Result] = field(default_factory=list)
    caveats: tuple[str, ...] = ()
    programs: list[Program] = field(default_factory=list)
    limits: list[Limits] = field(default_factory=list)
    closed: int = 0

    def run(self, program: Program, limits: Limits, on_report: OnReport | None = None) -> Result:
        self.programs.append(program)
        self.limits.append(limits)
        result = self.results.pop(0)
        for line in result.report:
            if on_report is not None and not on_report(line):
                return replace(result, status="stopped")
        return result

    def run_pair(self, first: Program, second: Program, limits: Limits) -> tuple[Result, Result]:
        self.programs += [first, second]
        self.limits.append(limits)
        return self.results.pop(0), self.results.pop(0)

    def close(self) -> None:
        self.closed += 1
