"""The rules of reinforcement learning as pure functions of arrays.

A rule is written here first, with its source: targets and losses (td), traces and λ-returns
(traces), exploration (exploration). Fused ops, kernels and learners must equal it; tests compare
them with the functions here. A rule imports no backend and keeps no state.
"""
