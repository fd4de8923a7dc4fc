"""Memory-mapped files that the server and a learner process share."""
