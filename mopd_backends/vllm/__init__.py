"""Generator `vllm`: vLLM in this process, or servers of it.

`generator` keeps the contract in this process over `engine`, which `launch` starts and stops. `api` is how a server is
asked and started, `answers` reads what it says. Both share `requests`, what a rollout is in vLLM's terms, and `worker`,
what runs inside vLLM's workers to put weights in force; those find it in `extension`. `version` says which vLLM was
tested. `config` imports neither torch nor vLLM.
"""
