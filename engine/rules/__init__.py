"""The rules of Q-learning as pure functions of arrays; fused code must equal them."""
