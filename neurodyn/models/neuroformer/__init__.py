"""Neuroformer: spikes as tokens, predicted one after another from past, stimulus and behavior."""
