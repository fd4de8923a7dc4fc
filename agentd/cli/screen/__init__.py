"""What all commands share to talk with a person: options, the terminal, pictures."""
