"""LangevinFlow: neural activity as driven Langevin dynamics in a learned potential."""
