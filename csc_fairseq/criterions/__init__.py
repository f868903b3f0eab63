"""Criterions registered with fairseq. fairseq imports only `tasks` and `models` of a user directory; the task imports this."""
