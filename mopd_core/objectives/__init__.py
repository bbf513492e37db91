"""How a step becomes two weights a token: distillation, and the baselines. One module an objective."""
