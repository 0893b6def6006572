"""Why a trained network answers as it does: maps on pictures and sounds, signed contributions."""
