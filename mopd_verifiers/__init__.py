"""The built-in verifiers: each turns a response and a reference into a verdict.

A verifier is a folder with its config (importable at once), its verifier, and what runs in its workers; its
registration line is in `plugin`. What judges untrusted text does so in processes of its own, kept by `workers`. This
package imports no torch.
"""
