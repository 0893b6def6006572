"""Species from photographs, two networks (paper 003)."""
