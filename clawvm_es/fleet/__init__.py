"""Work on many sessions or journals: spread over processes here, or over workers elsewhere."""
