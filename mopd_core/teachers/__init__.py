"""Who scores the rollouts: a teacher a module. A model-based one gives a `ModelPass` over the student's layout."""
