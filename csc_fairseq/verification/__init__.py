"""Speaker verification: who is compared with whom, by which encoder, and how often it errs."""
