"""Who speaks when: turns and their errors, the page of a recording, one voice found in it or drawn out of it."""
