"""The learner process: its loop, its due points, its checkpoints, its control pipes and handle."""
