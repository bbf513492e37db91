"""What runs inside the sandbox: the zygote, the layers that a forked child puts on, and the entries it then runs.

Imports nothing but the standard library and itself: the interpreter here has no site-packages.
"""
