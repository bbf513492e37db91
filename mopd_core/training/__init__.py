"""The loop: rollouts, verdicts, peers, contexts, batches, update, evaluation, checkpoints. One module a stage."""
