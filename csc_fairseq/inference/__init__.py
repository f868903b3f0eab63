"""Using a trained model: loading, embedding, separating. Needs torch, not fairseq."""
