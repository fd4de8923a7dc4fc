"""The chess application without a screen: data, model and play. ``agentd.cli.chess`` shows it."""
