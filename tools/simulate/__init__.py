"""The simulator: sessions in several processes, over a world that fails them, and the laws that hold all the same."""
