"""neurodyn: from a recording to the dynamics that produced it."""
