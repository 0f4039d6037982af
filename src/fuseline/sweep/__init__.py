"""Many jobs: a grid of models, batches, dtypes, strategies and devices -> one row a job in Parquet.

Data flows one way: a `Sweep` says what is to be done (`grids`), the driver hands out its captures
as tasks (`drive`), an executor runs them in other processes (`local`, `cluster`), a worker answers
with events (`work`), and the store keeps rows (`store`, `shards`), which `query` reads.
"""
