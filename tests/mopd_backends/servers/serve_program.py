"""`EngineConfig.serve` of an engine that is a fake, on the bundled default: `serve_program.py OPTIONS`."""

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from mopd_backends.servers.config import EngineConfig
from mopd_core.config.load import load_config
from mopd_core.registry import load_plugins

OPTIONS = json.loads(sys.argv[1])


class FakeConfig(EngineConfig):
    def server_api(self, vocabulary, device, dtype):
        spec = spec_from_file_location("fakes", Path(__file__).with_name("conftest.py"))
        fakes = module_from_spec(spec)
        spec.loader.exec_module(fakes)
        return fakes.FakeApi(vocabulary=vocabulary, **OPTIONS)


if __name__ == "__main__":
    run = load_config(None, load_plugins(), options=["training.device=cpu"])
    try:
        sys.exit(FakeConfig(max_wait_s=20).serve(run, None))
    except KeyboardInterrupt:
        sys.exit(130)
