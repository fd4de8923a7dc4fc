"""One learner for several daemons: the relay in a learner's place, and the learner's other end.

    daemon ── ring, board, pipes ── relay ── SharedLearner.call ── ring, board, pipes ── learner

A *replica* is a whole daemon, with its games, its ring and its sessions. The relay speaks with the
shared learner through one method, `protocol.Call`; what carries it is another matter: a Unix
socket here (`agentd.replicas.unix`), actor calls on a Ray cluster (`agentd.cluster`).
"""
