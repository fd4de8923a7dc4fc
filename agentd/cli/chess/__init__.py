"""The chess verbs: from a lichess dump to a bot that plays."""
