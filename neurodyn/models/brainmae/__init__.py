"""BrainMAE: masked autoencoding of fMRI segments with learned embeddings of brain regions."""
