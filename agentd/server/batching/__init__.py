"""From waiting frames to answers: one forward pass for all that arrived in a turn of the loop."""
