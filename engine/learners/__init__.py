"""Learners: what turns rows of experience into updates of a network's weights.

A learner is a file with its configuration record and a class that satisfies `learner.Learner`.
One that descends a gradient holds a `descent.Descent` and inherits `descent.DescentLearner`;
``agentd.assembly.learner`` builds it from an agent's configuration. Parts that several learners
share have files of their own: what a Q-network's outputs mean (heads), where batches come from
(batch_source), a supervised step (supervised_step), an update in one call (whole_step).

A learner is bound and stateful. Its formulas stand in ``engine.rules`` as pure functions, and how
rows are drawn and read in ``engine.replay``.
"""
