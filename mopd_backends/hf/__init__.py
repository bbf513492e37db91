"""Generator `hf`: transformers in this process, no server.

`generator` keeps the contract, `batches` says which rollouts decode together, `decoding` is the loop over tokens,
`sampling` draws a token, `cache` holds keys and values, `weights` copies the student in. `config` imports no torch.
"""
