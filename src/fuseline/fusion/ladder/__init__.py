"""The rule ladder: which groups of ops are one kernel, rung by rung, judged as wholes."""
