"""What a match needs: notation, openings, Elo and measures."""
