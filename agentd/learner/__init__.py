"""The learner process and its shared memory: rings of rows, the weight board, the control pipe."""
