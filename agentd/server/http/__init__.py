"""The HTTP side: health, metrics and a page to look at."""
