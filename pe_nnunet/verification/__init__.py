"""Whether models and results are whole and as they were written; nothing that lies in them is run or changed."""
