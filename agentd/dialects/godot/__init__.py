"""Godot RL Agents, versions 0.3 and 0.7: the game dials, the trainer (agentd) speaks first.

``conversation`` knows which message may come when, ``spaces`` what a game's agents see and do,
``episodes`` makes rows of what they saw and words of what was chosen. Here a *player* is one agent
of the game (an AIController there), and a *policy* is what several players share: an agent of ours.
"""
