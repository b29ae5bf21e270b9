"""The evaluation: the paper's tables on seeded workloads, and policies beside bounds on recorded sessions."""
