"""Replay: how rows of experience are laid out, drawn, weighted and read as transitions.

rows          the columns of a ring and the bytes of a row
sampling      which rows start a batch, each equally likely; a new sampler goes beside it
priorities    the same by priority
demonstrations  which of them a person or a script played, and a share of a batch from those
transitions   n-step batches from given starts; feed reads several of them at once
fragments     fresh rows in order, for learners without replay
rewards       scaled, normalised, clipped rewards
resident      a ring's observations in the memory of a device

A sampler returns absolute row indices and can resume exactly from its state.
"""
