"""Conformance suites: one pytest base class a kind. Subclass it, give its fixtures, get the tests."""
