"""Generators: what samples rollouts from the weights of the student. `hf` runs transformers in this process, no server.

Each backend is a folder: `config.py` holds its options and imports nothing heavy, `generator.py` holds the generator
and the factory `build(config, context)`. A new one gets a folder beside these and a line in `plugin`, and its tests
subclass `mopd_core.testing.generators.GeneratorSuite`.
"""
