"""Speaker verification: error rates and conditions with another talker."""
