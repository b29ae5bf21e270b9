"""The evaluation (§11): the paper's tables on seeded workloads, and policies beside bounds on real sessions."""
