"""Whether a model got worse: figures held against budgets and baselines, and the ops behind it."""
